"""A focus with intent, at a receiver with true SFrame: what it repeats, swaps, relabels, changes or holds
back is refused, or said. It has no key: frames are all it can play with."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from client.happenings import Happening, TileChanged
from client.joining import Entry
from client.keylink import KeyLink
from client.keys.frames import BaseKey, Verdict
from client.keys.kid import make_kid
from client.keys.sframe import read_header_untrusted, write_header
from client.membership import Membership
from client.protocol import limits, names
from client.protocol.messages import Subscription, write
from client.transport.sdp import Answer, Transport
from tests.client.test_receiving import DELTA, KEY_FRAME, Slotted, sealer, section

ALICE, BOB = 3, 9


@pytest.fixture
def there() -> Slotted:
    """Keys of two members are known; one pair, which is said to carry the first."""
    made = Slotted()
    for member in (ALICE, BOB):
        made.keyring.add(member, 1, BaseKey(0, 0, bytes([member]) * 16))
        made.keyring.add(member, 0, BaseKey(0, 0, bytes([member + 1]) * 16))
    made.map(ALICE)
    return made


def camera(member: int):
    return sealer(member, key=bytes([member]) * 16)


def microphone(member: int):
    return sealer(member, 0, bytes([member + 1]) * 16)


def relabelled(frame: bytes | None, clear: int, member: int, source: int = 1) -> bytes:
    """With another KID in its header."""
    assert frame is not None
    _, counter, at = read_header_untrusted(frame[clear:])
    return frame[:clear] + write_header(make_kid(member, source, 0, 0), counter) + frame[clear + at :]


def test_frames_repeated(there: Slotted) -> None:
    frame = camera(ALICE).seal(KEY_FRAME)
    for _ in range(3):
        there.push(frame)  # under new RTP numbers each time
    assert len(there.frames) == 1
    assert there.statistics.tiles[ALICE, 1].refused == {Verdict.REPLAYED: 2}
    assert there.states == [(ALICE, 1, "decrypting")]


def test_a_whole_minute_repeated_later(there: Slotted) -> None:
    by = camera(ALICE)
    minute = [by.seal(KEY_FRAME), *(by.seal(DELTA) for _ in range(limits.REPLAY_WINDOW + 400))]
    for frame in minute:
        there.push(frame)
    shown = len(there.frames)
    for frame in minute:
        there.push(frame)  # far behind the window as well as inside it
    assert len(there.frames) == shown == len(minute)
    assert there.statistics.tiles[ALICE, 1].refused[Verdict.REPLAYED] >= len(minute)


def test_frames_put_on_anothers_slot(there: Slotted) -> None:
    """The key says whose they are, whatever the slot is said to carry."""
    there.map(BOB)
    there.push(camera(ALICE).seal(KEY_FRAME))
    assert [each.member for each in there.frames] == [ALICE]
    there.map(ALICE)
    there.push(camera(BOB).seal(KEY_FRAME))
    assert [each.member for each in there.frames] == [ALICE, BOB]
    assert (BOB, 1, "decrypting") in there.states


def test_frames_relabelled_as_anothers(there: Slotted) -> None:
    there.push(relabelled(camera(ALICE).seal(KEY_FRAME), 10, BOB))
    assert there.frames == []
    assert there.states == [(BOB, 1, "wrong key")]
    # The true ones of that member still open: nothing of theirs was used up.
    there.push(camera(BOB).seal(KEY_FRAME))
    assert [each.member for each in there.frames] == [BOB]


def test_frames_relabelled_as_another_source(there: Slotted) -> None:
    there.keyring.add(ALICE, 2, BaseKey(0, 0, b"s" * 16))
    there.push(relabelled(camera(ALICE).seal(KEY_FRAME), 10, ALICE, source=2))
    there.push(microphone(ALICE).seal(b"\x78words"))  # sound where a picture belongs
    there.push(camera(ALICE).seal(KEY_FRAME), 20)
    assert there.frames == []


def test_frames_changed(there: Slotted) -> None:
    for index in (0, 4, 12, 20, 500, -1):
        frame = bytearray(camera(ALICE).seal(KEY_FRAME) or b"")
        frame[index] ^= 2
        there.push(bytes(frame))
    assert there.frames == []


def test_parts_of_two_frames_joined(there: Slotted) -> None:
    by = camera(ALICE)
    one, two = by.seal(KEY_FRAME) or b"", by.seal(KEY_FRAME[:10] + b"another" * 200) or b""
    there.push(one[: len(one) // 2] + two[len(one) // 2 :])
    assert there.frames == []
    assert there.states == [(ALICE, 1, "wrong key")]


def test_frames_out_of_their_order_show_nothing_twice(there: Slotted) -> None:
    by = camera(ALICE)
    frames = [by.seal(KEY_FRAME), *(by.seal(DELTA) for _ in range(5))]
    for frame in (frames[0], frames[3], frames[1], frames[3], frames[5], frames[5]):
        there.push(frame)
    assert len(there.frames) == 4
    assert there.statistics.tiles[ALICE, 1].refused == {Verdict.REPLAYED: 2}


# --- what is held back ---


class Told:
    """A membership with one pair, on which alice's camera is shown, and all that is told of tiles."""

    def __init__(self) -> None:
        self.states: list[str] = []
        inbox = SimpleNamespace(on_event=[], on_direct=[], on_member=[])
        homeserver: Any = SimpleNamespace(inbox=inbox, joined=lambda *_: True, device_id="D")
        entry = Entry(homeserver, [], lambda hangup: None)
        self.membership = made = Membership(entry, None, self._tell)
        entry.offerer = entry.new_offerer(Transport("u", "p", (), ()))
        made.use_keys(KeyLink(homeserver, "!r", "c" * 22, [], made.statistics, made.keys_arrived))
        self.said: list[str] = []
        answer = Answer(Transport("u", "p", (), ()), {"3": section("3", "video", 30)}, 5000, 65536)
        self.link: Any = SimpleNamespace(answer=answer, connected=False, say=self.said.append)
        made.connections.link = self.link
        verifier = "A" * 43
        welcome = {"version": 1, "member": 1, "conference_id": "c" * 22, "ping_interval_ms": 10_000}
        self.hear(names.WELCOME, {**welcome, "epoch": 0, "verifier": verifier})
        self.roster(video_muted=False)
        self.hear(names.SLOTS, {"revision": 1, "slots": [{"mid": "3", "member": ALICE, "source": "camera"}]})
        tile = made.statistics.tiles.setdefault((ALICE, 1), _tile())
        tile.state, tile.last_at = Verdict.OPENED, time.monotonic()
        self._begun = tile.last_at

    def _tell(self, happening: Happening) -> None:
        if isinstance(happening, TileChanged):
            self.states.append(happening.state)

    def hear(self, kind: str, content: dict[str, Any]) -> None:
        self.membership.message_untrusted(write(kind, content), self.link)

    def roster(self, video_muted: bool) -> None:
        who = {"member": ALICE, "user_id": "@alice:x", "device_id": "A", "sources": ["camera"]}
        entry = {**who, "audio_muted": False, "video_muted": video_muted}
        self.hear(names.MEMBERS, {"reset": False, "present": [entry], "gone": []})

    def later(self, seconds: float) -> list[str]:
        self.membership.tiles.find_stalled(self.membership.members, self._begun + seconds)
        return self.states

    async def close(self) -> None:
        self.membership.connections.link = None
        await self.membership.close()


def _tile() -> Any:
    from client.statistics import Tile

    return Tile(ALICE, 1)


async def test_a_picture_that_is_held_back_is_said_to_be() -> None:
    told = Told()
    assert told.later(limits.STALL_S - 1) == []
    assert told.later(limits.STALL_S + 1) == ["nothing comes"]
    assert told.later(limits.STALL_S + 9) == ["nothing comes"]  # once
    await told.close()


@pytest.mark.parametrize("why", ["muted", "hidden", "unwanted", "paused", "gone", "elsewhere"])
async def test_what_is_not_to_come_is_not_held_back(why: str) -> None:
    told = Told()
    match why:
        case "muted":
            told.roster(video_muted=True)
        case "hidden":
            told.membership.tiles.subscribe([Subscription(ALICE, "camera", 320, 0)], ())
        case "unwanted":
            told.membership.tiles.subscribe([], [(ALICE, "camera")])
        case "paused":
            told.hear(names.LAYERS, {"slots": {"3": {"encoding": None, "temporal": 0}}})
        case "gone":
            told.hear(names.MEMBERS, {"reset": False, "present": [], "gone": [ALICE]})
        case "elsewhere":
            told.hear(names.SLOTS, {"revision": 2, "slots": [{"mid": "3", "member": None, "source": None}]})
    assert told.later(60) == []
    await told.close()
