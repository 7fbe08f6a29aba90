"""A roster in messages of bounded size, and as a slow channel takes them."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from control.protocol import limits, names
from control.protocol.backlog import Backlog
from control.protocol.content import serialise
from control.protocol.roster_parts import WaitingRoster, parts


def entry(number: int, identifier: str = "x", muted: bool = False) -> dict[str, Any]:
    return {
        "member": number,
        "user_id": f"@{identifier}:x"[:255],
        "device_id": identifier[:255],
        "audio_muted": muted,
        "video_muted": False,
        "sources": names.SOURCES,
        "sealed": names.SOURCES,
    }


def crowd(identifier: str) -> list[dict[str, Any]]:
    return [entry(65_535 - number, identifier) for number in range(limits.MEMBERS_MAX)]


class Reader:
    """What somebody knows who was told these."""

    def __init__(self) -> None:
        self.members: dict[int, dict[str, Any]] = {}
        self.complete = True

    def read(self, content: dict[str, Any]) -> None:
        if content["reset"]:
            self.members = {}
        for number in content["gone"]:
            self.members.pop(number, None)
        self.members |= {each["member"]: each for each in content["present"]}
        self.complete = not content.get("more", False)


def test_every_part_fits_into_a_message_whatever_the_names_are() -> None:
    for identifier in ("alice", "x" * 300, '"' * 300, "\x01" * 300, "\U0001f388" * 300):
        everybody = crowd(identifier)
        gone = list(range(1, limits.MEMBERS_MAX + 1))
        for reset in (True, False):
            told = parts(everybody, gone, reset)
            assert all(len(serialise(names.MEMBERS, part)) <= limits.MESSAGE_MAX_BYTES for part in told)
            assert [part["reset"] for part in told] == [reset] + [False] * (len(told) - 1)
            assert [part.get("more", False) for part in told] == [reset] * (len(told) - 1) + [False]
            reader = Reader()
            for part in told:
                reader.read(part)
            assert list(reader.members.values()) == everybody


def test_nobody_is_a_roster_too() -> None:
    assert parts([], [], True) == [{"reset": True, "present": [], "gone": []}]
    assert parts([], [], False) == []


def test_five_hundred_with_the_longest_names_pass_a_channel_that_takes_less() -> None:
    """As much waits in the channel as it may, whatever there is to say, and nobody is spoken of too soon."""
    whole = [(names.MEMBERS, part) for part in parts(crowd("x" * 300), [], True)]
    said = [
        *whole,
        (names.SLOTS, {"revision": 1, "slots": []}),
        (names.MEMBERS, {"reset": False, "present": [], "gone": [65_535]}),
    ]
    assert sum(len(serialise(*message)) for message in said) > limits.CHANNEL_MAX_BUFFERED
    backlog, channel, delivered, most = Backlog(), [], [], 0

    def buffered() -> int:
        return sum(len(text) for text, _ in channel)

    for kind, content in said:
        if not ((backlog or buffered() > limits.CHANNEL_CONGESTED) and backlog.put(kind, content)):
            channel.append((serialise(kind, content), (kind, content)))
    while channel or backlog:
        while backlog and buffered() <= limits.CHANNEL_CONGESTED:
            if (message := backlog.take()) is not None:
                channel.append((serialise(*message), message))
        most = max(most, buffered())
        delivered.append(channel.pop(0)[1])
    assert most <= limits.CHANNEL_CONGESTED + limits.MESSAGE_MAX_BYTES
    reader = Reader()
    for _, content in delivered[:-1]:
        reader.read(content)
    assert len(reader.members) == limits.MEMBERS_MAX - 1
    assert reader.complete
    assert [content.get("more", False) for _, content in delivered[:-2]] == [True] * (len(delivered) - 2)
    assert delivered[-1][0] == names.SLOTS


NUMBERS = st.integers(1, 12)
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("here"), NUMBERS, st.booleans()),
        st.tuples(st.just("gone"), NUMBERS, st.none()),
        st.tuples(st.just("reset"), st.none(), st.none()),
        st.tuples(st.just("take"), st.none(), st.none()),
    ),
    max_size=40,
)


@given(CHANGES)
def test_what_is_said_late_comes_to_the_same(changes: list[tuple[str, Any, Any]]) -> None:
    direct, late, waiting = Reader(), Reader(), WaitingRoster()
    for what, number, muted in changes:
        if what == "take":
            if (part := waiting.take()) is not None:
                late.read(part)
            continue
        if what == "reset":
            told = parts([entry(each, "x" * 300) for each in range(1, 31)], [], True)
        elif what == "gone":
            told = [{"reset": False, "present": [], "gone": [number]}]
        else:
            told = [{"reset": False, "present": [entry(number, muted=muted)], "gone": []}]
        for content in told:
            direct.read(content)
            waiting.put(content)
    while (part := waiting.take()) is not None:
        late.read(part)
    assert late.members == direct.members
    assert late.complete
    assert not waiting


def test_the_parts_of_a_whole_roster_are_marked_while_it_is_put() -> None:
    """Each may be taken before the next is put."""
    waiting, reader = WaitingRoster(), Reader()
    told = parts(crowd("x" * 300), [], True)
    for index, part in enumerate(told):
        waiting.put(part)
        taken = waiting.take()
        assert taken == part
        reader.read(part)
        assert reader.complete == (index == len(told) - 1)
