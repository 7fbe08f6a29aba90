"""Sealed sources: negotiated per source, one row for each receiver for good, forms and indices told."""

from typing import Any

import pytest

from control.protocol import limits, names
from control.protocol.events import InnerIndex, SinkDeal
from control.protocol.forwarding import Routes
from control.protocol.rows import NONE, Codec, SinkRow
from control.protocol.sdp import SdpError, parse_offer_untrusted
from control.protocol.sdp_negotiate import Features, negotiate
from tests.protocol.people import Person, World, metadata, offer, people, world
from tests.protocol.test_remembering import Notebook, succeed
from tests.protocol.test_resumption import arrive, ask, token_of
from tests.protocol.test_spreading import check_tables, workers_of

DEPENDENCY = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"


def _sections(text: str) -> list[str]:
    head, *rest = text.split("m=")
    return [head, *("m=" + each for each in rest)]


def sealed_offer(send: bool = True, receive: bool = True, descriptor: bool = True, **shape: Any) -> str:
    """As `offer`, with a sealed section beside each that sends, and one for each kind that is received."""
    head, *sections = _sections(offer(**shape))
    more = []
    for section in sections:
        mid = section.partition("a=mid:")[2].partition("\r\n")[0]
        if mid in names.SOURCES and send:
            twin = section.replace(f"a=mid:{mid}", f"a=mid:s-{mid}\r\na={names.SDP_SEALED}:send")
            if mid in ("camera", "screen") and descriptor:
                twin += f"a=extmap:12 {DEPENDENCY}\r\n"
            more.append(twin)
        if mid in ("a0", "v0") and receive:
            more.append(section.replace(f"a=mid:{mid}", f"a=mid:r-{mid}\r\na={names.SDP_SEALED}:recv"))
    mids = " ".join(each.partition("a=mid:")[2].partition("\r\n")[0] for each in [*sections, *more])
    head = "\r\n".join(
        f"a=group:BUNDLE {mids}" if line.startswith("a=group") else line for line in head.split("\r\n")
    )
    return head + "".join([*sections, *more])


def agreed(text: str) -> Any:
    purposes = {stream: {"purpose": info["purpose"]} for stream, info in metadata().items()}
    return negotiate(parse_offer_untrusted(text), purposes, Features())


def sealed_rows(where: World, receiver: Person) -> list[SinkRow]:
    assert receiver.transport is not None
    table = where.tables.get(0, Routes())
    return [
        row
        for row in table.sinks.values()
        if row.sealed and row.transport == receiver.transport.handle and row.transport_incarnation
    ]


def test_an_offer_with_both_forms() -> None:
    agreement = agreed(sealed_offer())
    assert [(each.mid, each.source, each.sealed) for each in agreement.senders] == [
        ("audio", "audio", False),
        ("camera", "camera", False),
        ("s-audio", "audio", True),
        ("s-camera", "camera", True),
    ]
    assert [(each.mid, each.kind) for each in agreement.opened] == [("r-a0", "audio"), ("r-v0", "video")]
    assert len(agreement.slots) == 8


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (sealed_offer(descriptor=False), "dependency descriptor"),
        (sealed_offer().replace(":send\r\n", ":both\r\n"), "neither send nor recv"),
        (sealed_offer().replace("a=mid:a1", f"a=mid:a1\r\na={names.SDP_SEALED}:recv"), "of one kind"),
        (sealed_offer().replace("a=mid:audio\r\n", "a=mid:audio\r\na=inactive\r\n", 1), "sealed only"),
    ],
)
def test_offers_that_cannot_be(text: str, says: str) -> None:
    with pytest.raises(SdpError, match=says):
        agreed(text)


def test_all_four_sources_in_both_forms() -> None:
    where = world()
    (alice,) = people(where, 1, sdp=sealed_offer(sources=names.SOURCES))
    rows = [row for row in where.tables[0].sources.values() if alice.transport is not None]
    assert len(rows) == 8
    assert sorted(row.kind for row in rows if row.codec is Codec.SEALED) == [0, 1, 2, 3]
    assert len(where.tables[0].transports[alice.transport.handle].sources) == 8  # type: ignore[union-attr]


def test_what_of_a_sealed_source_the_network_carries() -> None:
    where = world()
    alice, bob = people(where, 2, sdp=sealed_offer())
    where.pass_time(1)
    table = where.tables[0]
    camera = {handle for handle, row in table.sources.items() if row.mid == "s-camera"}
    assert alice.transport is not None
    (sink,) = (
        handle
        for handle, row in table.sinks.items()
        if row.sealed and row.transport == alice.transport.handle and row.source in camera
    )
    place = {"member": bob.number, "source": "camera"}

    def deal(encoding: int | None, temporal: int) -> Any:
        where.handle(SinkDeal(alice.transport, sink, encoding, temporal))  # type: ignore[arg-type]
        where.pass_time(0.2)
        return alice.last(names.LAYERS)

    assert deal(2, 0) == {"slots": {}, "sealed": [{**place, "encoding": "f", "temporal": 0}]}
    assert deal(None, 0) == {"slots": {}, "sealed": [{**place, "encoding": None, "temporal": 0}]}
    told = len(alice.said)
    deal(None, 0)
    assert len(alice.said) == told
    bob.say(names.METADATA_CHANGED, {names.METADATA: metadata(video_muted=True)})
    told = len(alice.said)
    deal(0, 0)  # nobody waits for what is muted
    assert names.LAYERS not in [kind for kind, _ in alice.said[told:]]


def test_sealed_sources_reach_receivers_of_another_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SPREAD_TRANSPORTS", 2)
    monkeypatch.setattr(limits, "SPREAD_COST", 1)
    where = world(workers=2)
    three = people(where, 3, sdp=sealed_offer())
    alice, bob, carol = three
    assert workers_of(three) == [0, 0, 1]
    check_tables(where)
    for one in three:
        told = one.last(names.SEALED)
        assert told is not None
        others = {each.number for each in three if each is not one}
        assert {each["member"] for each in told["sources"]} == others
        assert not set(one.slots.values()) - {(None, None)}
    # Rows of two workers may have one number: where each stands is known apart.
    assert carol.transport is not None
    assert bob.transport is not None
    for person, index in ((bob, 700), (carol, 900)):
        table = where.tables[person.transport.worker]  # type: ignore[union-attr]
        handle = next(
            handle
            for handle, row in table.sources.items()
            if row.mid == "s-audio" and not row.home and row.transport == person.transport.handle  # type: ignore[union-attr]
        )
        where.handle(InnerIndex(person.transport, handle, 0, index))  # type: ignore[arg-type]
    told = alice.last(names.SEALED)
    assert told is not None
    indices = {
        each["member"]: each["encodings"]["f"]["index"]
        for each in told["sources"]
        if each["source"] == "audio"
    }
    assert indices == {bob.number: 700, carol.number: 900}
    # The muted keep their rows: what was given sealed goes on under the same SSRCs.
    before = [(row.ssrc, row.incarnation, row.source) for row in where.tables[1].sinks.values() if row.sealed]
    alice.say(names.METADATA_CHANGED, {names.METADATA: metadata(audio_muted=True)})
    check_tables(where)
    after = [(row.ssrc, row.incarnation, row.source) for row in where.tables[1].sinks.values() if row.sealed]
    assert before == after
    alice.say(names.HANGUP, {"reason": "user_hangup"})
    check_tables(where)
    browser = Person(where, "@browser:example.org", "WEB", "callw").call().connect()
    assert browser.last(names.SEALED) is None
    check_tables(where)


def test_the_answer_gives_ssrcs_and_no_key() -> None:
    where = world()
    (alice,) = people(where, 1, sdp=sealed_offer())
    assert alice.answer is not None
    sdp = alice.answer["answer"]["sdp"]
    lines = [line for line in sdp.split("\r\n") if names.SDP_SEALED in line]
    assert lines.count(f"a={names.SDP_SEALED}:recv") == 2
    assert lines.count(f"a={names.SDP_SEALED}:send") == 2
    given = [line.split(":")[1].split() for line in lines if names.SDP_SEALED_SSRC in line]
    assert [each[0] for each in given] == ["f", "t", "m", "f"]
    ssrcs = [number for each in given for number in each[1:]]
    others = [line[7:].split()[0] for line in sdp.split("\r\n") if line.startswith("a=ssrc:")]
    assert len(set(ssrcs + others)) == len(ssrcs + others)
    assert "crypto" not in sdp
    row = next(row for row in where.tables[0].sources.values() if row.mid == "s-camera")
    assert row.codec is Codec.SEALED
    assert [str(each) for each in row.ssrcs] == [each[1] for each in given[1:]]


def test_sealed_and_browsers_in_one_conference() -> None:
    where = world()
    alice, bob = people(where, 2, sdp=sealed_offer())
    browser = Person(where, "@browser:example.org", "WEB", "callw").call().connect()
    # Alice and Bob open each other sealed, on no slot; the browser gets frames.
    told = alice.last(names.SEALED)
    assert told is not None
    assert [(each["member"], each["source"], each["mid"]) for each in told["sources"]] == [
        (bob.number, "audio", "r-a0"),
        (bob.number, "camera", "r-v0"),
    ]
    assert list(told["sources"][1]["encodings"]) == ["t", "m", "f"]
    assert (bob.number, "camera") not in alice.slots.values()
    assert (browser.number, "camera") in alice.slots.values()
    assert {(alice.number, "audio"), (bob.number, "camera")} <= set(browser.slots.values())
    assert browser.last(names.SEALED) is None
    assert alice.roster[bob.number]["sealed"] == ["audio", "camera"]
    assert "sealed" not in alice.roster[browser.number]
    where.pass_time(0.2)
    send = alice.last(names.SEND)
    assert send is not None
    assert send["forms"] == {"audio": ["frames", "sealed"], "camera": ["frames", "sealed"]}
    assert send["sealed"]["camera"]["encodings"]["t"]["active"]
    # Without the browser there is nobody for frames.
    browser.say(names.HANGUP, {"reason": "user_hangup"})
    where.pass_time(0.2)
    send = alice.last(names.SEND)
    assert send is not None
    assert send["forms"] == {"audio": ["sealed"], "camera": ["sealed"]}
    bob.say(names.HANGUP, {"reason": "user_hangup"})
    where.pass_time(0.2)
    send = alice.last(names.SEND)
    assert send is not None
    assert send["forms"] == {"audio": [], "camera": []}
    assert alice.last(names.SEALED) == {"revision": 2, "sources": []}


def test_a_row_is_of_one_source_for_good() -> None:
    """The same SSRCs under the same hop keys never get another row, whose indices would begin anew."""
    where = world()
    alice, bob = people(where, 2, sdp=sealed_offer())
    before = {(row.ssrc, row.incarnation) for row in sealed_rows(where, alice)}
    assert len(before) == 2
    unsubscribe = [{"stream_id": str(bob.number), "track_id": "camera"}]
    alice.say(names.TRACK_SUBSCRIPTION, {"unsubscribe": unsubscribe})
    assert sorted(row.source == NONE for row in sealed_rows(where, alice)) == [False, True]
    assert len((alice.last(names.SEALED) or {})["sources"]) == 1
    alice.say(names.TRACK_SUBSCRIPTION, {"subscribe": unsubscribe})
    assert {(row.ssrc, row.incarnation) for row in sealed_rows(where, alice)} == before
    bob.say(names.HANGUP, {"reason": "user_hangup"})
    assert not sealed_rows(where, alice)
    again = Person(where, bob.user_id, bob.device_id, "again").call(sdp=sealed_offer()).connect()
    after = {(row.ssrc, row.incarnation) for row in sealed_rows(where, alice)}
    assert len(after) == 2
    assert not {ssrc for ssrc, _ in before} & {ssrc for ssrc, _ in after}
    assert again.last(names.SEALED) is not None


def test_where_a_source_stands_is_told_in_time() -> None:
    where = world()
    alice, bob = people(where, 2, sdp=sealed_offer())
    table = where.tables[0]
    assert bob.transport is not None
    row = next(
        handle
        for handle, row in table.sources.items()
        if row.mid == "s-audio" and row.transport == bob.transport.handle
    )

    def index_told(index: int) -> int | None:
        assert bob.transport is not None
        where.handle(InnerIndex(bob.transport, row, 0, index))
        told = alice.last(names.SEALED)
        assert told is not None
        return told["sources"][0]["encodings"]["f"]["index"]  # type: ignore[no-any-return]

    assert (alice.last(names.SEALED) or {})["sources"][0]["encodings"]["f"]["index"] is None
    assert index_told(100) == 100
    assert index_told(10_000) == 100  # near enough
    assert index_told(16_484) == 16_484
    assert index_told(70_000) == 70_000
    # A newcomer is told with the assignment.
    carol = Person(where, "@carol:example.org", "C", "callc").call(sdp=sealed_offer()).connect()
    told = carol.last(names.SEALED)
    assert told is not None
    indices = {each["member"]: each["encodings"]["f"]["index"] for each in told["sources"]}
    assert indices[bob.number] in (70_000, None)
    assert any(
        each["encodings"]["f"]["index"] == 70_000 for each in told["sources"] if each["source"] == "audio"
    )


def test_rows_are_the_same_for_the_next_control_process_and_it_makes_no_new_ones_for_old_keys() -> None:
    where = world()
    book = Notebook(where)
    alice, bob = people(where, 2, sdp=sealed_offer())
    before = where.tables[0]
    assert len(sealed_rows(where, alice)) == 2
    succeed(where, book.notes)
    assert where.tables[0] == before
    # What the one before assigned last may not have been noted: under old hop keys there are no new rows.
    carol = Person(where, "@carol:example.org", "C", "callc").call(sdp=sealed_offer()).connect()
    assert len(sealed_rows(where, alice)) == 2
    assert len(sealed_rows(where, carol)) == 4
    where.pass_time(0.2)
    send = carol.last(names.SEND)
    assert send is not None
    assert send["forms"] == {"audio": ["frames"], "camera": ["frames"]}
    assert bob.transport is not None


def test_a_second_connection_is_given_everything_anew() -> None:
    where = world()
    alice, bob = people(where, 2, sdp=sealed_offer())
    first = {row.ssrc for row in sealed_rows(where, alice)}
    _, transport = ask(where, token_of(alice), sdp=sealed_offer())
    arrive(where, alice, transport)
    rows = [row for row in where.tables[0].sinks.values() if row.sealed and row.ssrc in first]
    # Bob's sources under keys that are new, and over the first connection until it is closed.
    assert len(rows) == 4
    assert len({row.incarnation for row in rows}) == 4
    where.pass_time(11)
    assert {row.ssrc for row in sealed_rows(where, alice)} == first
    assert sum(row.ssrc in first for row in where.tables[0].sinks.values() if row.sealed) == 2
    told = bob.last(names.SEALED)
    assert told is not None
    alices = {each["encodings"]["f"]["ssrc"] for each in told["sources"]}
    assert not alices & first
    assert all(row.source != NONE for row in sealed_rows(where, bob))


def test_where_sources_stood_that_nobody_opened_is_forgotten_with_them() -> None:
    where = world()
    people(where, 1)
    (conference,) = where.focus.conferences.values()
    for number in range(5):
        bob = Person(where, "@bob:example.org", "BOB", f"call-of-bob-{number}")
        bob.call(sdp=sealed_offer(receive=False)).connect()
        assert bob.transport is not None
        for handle, row in where.tables[0].sources.items():
            if row.mid.startswith("s-") and row.transport == bob.transport.handle:
                where.handle(InnerIndex(bob.transport, handle, 0, 100))
        assert len(conference.staging._inner) == 2
    bob.say(names.HANGUP, {"reason": "user_hangup"})
    assert conference.staging._inner == {}
