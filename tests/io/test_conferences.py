"""The runtime with true DTLS, SCTP and tables in one process: only sockets and Matrix are lists."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from control.protocol import limits, names
from control.protocol.conference import Conference
from control.protocol.events import MatrixCallEvent
from fastpath_ext.packet_crypto import ufrag_handle
from fastpath_ext.uplink import Kind, encode_order
from fastpath_ext.values import SendOrder
from tests.io.members import Member, World, members
from tests.protocol.dtls_client import DtlsClient
from tests.protocol.people import CREATOR, metadata, offer


@pytest.fixture
async def where() -> AsyncIterator[World]:
    world = World()
    yield world
    for member in list(world.worker.members.values()):
        member.state = "closed"
        await member.sctp.stop()
    await world.runtime.stop(silent=True)
    assert world.worker.writer.refused == 0
    world.worker.writer.close()


async def test_three_members_over_true_dtls_and_sctp(where: World) -> None:
    alice, bob, carol = await members(where, 3)
    await alice.until(
        names.SLOTS, lambda told: [slot["member"] for slot in told["slots"][:4]] == [2, 2, 3, 3]
    )
    assert carol.last(names.WELCOME)["member"] == 3
    alice.say(
        names.TRACK_SUBSCRIPTION,
        {"subscribe": [{"stream_id": "2", "track_id": "camera", "width": 1280, "height": 720}]},
    )
    await bob.until(names.SEND, lambda told: told["sources"]["camera"]["encodings"]["f"]["active"])
    bob.say(names.METADATA_CHANGED, {"sdp_stream_metadata": metadata(audio_muted=True)})
    await carol.until(names.MEMBERS, lambda told: told["present"] and told["present"][0]["audio_muted"])
    assert where.counts["invites_accepted", ""] == 3
    assert where.counts["internal_errors", ""] == 0
    assert where.worker.writer.table.transport_handles == [0, 1, 2]
    row = where.worker.writer.table.transport(0)
    assert row is not None
    assert row.keyed
    assert ufrag_handle(row.local_ufrags[0]) == 0


async def test_keys_of_the_hop_are_the_same_at_both_ends(where: World) -> None:
    (alice,) = await members(where, 1)
    keys = where.worker.rows[alice.transport[0]].keys
    assert keys is not None
    size = len(keys.rx_key) + len(keys.rx_salt)
    theirs = alice.dtls.ssl.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * size)
    assert theirs == keys.rx_key + keys.tx_key + keys.rx_salt + keys.tx_salt


async def test_somebody_elses_certificate(where: World) -> None:
    mallory = Member(where, CREATOR, "device0")
    await mallory.call(offer={"type": "offer", "sdp": offer(fingerprint=DtlsClient().fingerprint())})
    await mallory.connect()
    await where.until(lambda: where.counts["dtls_failures", "dtls_fingerprint"])
    kind, content = where.last_matrix("device0")
    assert (kind, content[names.ERROR]["code"]) == (names.HANGUP, "dtls_failed")
    assert where.worker.rows == {}


async def test_leaving_by_message_and_by_closing_the_connection(where: World) -> None:
    alice, bob, carol = await members(where, 3)
    bob.say(names.HANGUP, {"reason": "user_hangup"})
    await alice.until(names.MEMBERS, lambda told: told["gone"] == [2])
    carol.dtls.ssl.shutdown()
    carol.state = "closed"
    for datagram in carol.dtls.take():
        where.tell(Kind.DTLS, carol, datagram)
    await alice.until(names.MEMBERS, lambda told: told["gone"] == [3])
    assert len(where.worker.rows) == 1


async def test_consent_that_expires(where: World) -> None:
    alice, bob = await members(where, 2)
    where.tell(Kind.CONSENT_EXPIRED, bob)
    await alice.until(names.MEMBERS, lambda told: told["gone"] == [2])
    assert where.last_matrix("device1")[0] == names.HANGUP


async def test_negotiating_more_slots(where: World) -> None:
    (alice,) = await members(where, 1)
    sdp = offer(pairs=16, fingerprint=alice.dtls.fingerprint())
    alice.say(
        names.NEGOTIATE, {"description": {"type": "offer", "sdp": sdp}, "sdp_stream_metadata": metadata()}
    )
    answer = await alice.until(names.NEGOTIATE)
    assert answer["description"]["sdp"].count("a=sendonly") == 32
    await alice.until(names.SLOTS, lambda told: len(told["slots"]) == 32)


async def test_rubbish_on_every_way_in(where: World) -> None:
    alice, bob = await members(where, 2)
    nobody = Member(where, CREATOR, "nobody")
    nobody.transport = (9, 9)
    for payload in (b"", b"\x16\xfe\xfd" + b"\0" * 20, b"\xff" * 1000):
        where.tell(Kind.DTLS, nobody, payload)
        where.tell(Kind.DTLS, bob, payload)
    for kind in (*Kind, 0, 99, 2**32 - 1):
        if kind != Kind.DTLS:
            where.tell(kind, nobody)
    bob.channel.send("rubbish")
    bob.channel.send(b"bytes")
    await bob.open("another label")
    await bob.until(names.ERROR)
    await where.until(lambda: where.counts["events_ignored", "label"])
    assert where.counts["channel_messages_refused", "binary"] == 1
    assert where.counts["events_ignored", "datagram"] == 3
    where.runtime.matrix_event(MatrixCallEvent("!r", "@x:y", names.INVITE, {"call_id": []}, 0, False))
    assert len(where.worker.rows) == 2
    assert not [name for name, _ in where.counts if name == "internal_errors"]
    alice.say(names.HANGUP, {})
    await bob.until(names.MEMBERS, lambda told: told["gone"] == [1])


async def test_a_fault_costs_nobody_else_anything(where: World, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob = await members(where, 2)
    with monkeypatch.context() as patch:
        patch.setattr(Conference, "mute", lambda *_: 1 // 0)
        bob.say(names.METADATA_CHANGED, {"sdp_stream_metadata": metadata()})
        await where.until(lambda: where.counts["internal_errors", "ChannelMessage"])
    bob.say(names.METADATA_CHANGED, {"sdp_stream_metadata": metadata(video_muted=True)})
    await alice.until(names.MEMBERS, lambda told: told["present"] and told["present"][0]["video_muted"])


async def test_deadlines_are_met(where: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PING_INTERVAL", 0.05)
    (alice,) = await members(where, 1)
    monkeypatch.setattr(limits, "ICE_TIMEOUT", 0.1)
    await Member(where, "@late:example.org", "late").call()
    await where.until(lambda: where.last_matrix("late")[0] == names.HANGUP)
    await where.until(lambda: len([kind for kind, _ in alice.said if kind == names.PING]) >= 3)


async def test_a_lost_flight_of_dtls_is_sent_again(where: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DTLS_RETRANSMIT_FIRST", 0.02)
    alice = await Member(where, CREATOR, "device0").call()
    send, lost = where.worker.send_dtls, 3

    def lossy(transport: int, incarnation: int, datagram: bytes) -> bool:
        nonlocal lost
        lost -= 1
        return True if lost >= 0 else send(transport, incarnation, datagram)

    monkeypatch.setattr(where.worker, "send_dtls", lossy)
    await alice.connect()
    assert alice.dtls.connected
    assert lost < 0


async def test_a_fault_is_logged_without_what_people_sent(
    where: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fault(*_: object) -> None:
        raise RuntimeError("a secret that somebody sent")

    monkeypatch.setattr(where.runtime.focus, "handle", fault)
    event = MatrixCallEvent("!r", "@x:y", names.INVITE, {}, 0, False)
    where.runtime.matrix_event(event)
    assert "RuntimeError at test_conferences.py" in caplog.text
    assert "secret" not in caplog.text
    assert where.counts["internal_errors", "MatrixCallEvent"] == 1
    monkeypatch.undo()


async def test_what_a_worker_measures_reaches_the_members(where: World) -> None:
    alice, bob = await members(where, 2)
    table = where.worker.writer.table
    sources = {
        row.kind: handle
        for handle in table.source_handles
        if (row := table.source(handle)) and row.transport == bob.transport[0]
    }
    (slot,) = (
        handle
        for handle in table.sink_handles
        if (sink := table.sink(handle)) and (sink.transport, sink.source) == (alice.transport[0], sources[1])
    )
    order = encode_order(SendOrder(True, 600_000, 150, 15))
    where.tell(Kind.SEND_TARGET, bob, order, a=sources[1], b=2)
    told = await bob.until(names.SEND, lambda told: told["sources"]["camera"]["encodings"]["f"]["active"])
    assert told["sources"]["camera"]["encodings"]["f"] == {
        "active": True, "max_bitrate": 600_000, "scale_resolution_down_by": 1.5, "max_framerate": 15,
    }  # fmt: skip
    where.tell(Kind.SPEAKING, bob, a=sources[0], b=1)
    await alice.until(names.SPEAKERS, lambda told: told == {"speaking": [2], "dominant": None})
    where.tell(Kind.DOMINANT, bob, a=sources[0])
    await alice.until(names.SPEAKERS, lambda told: told == {"speaking": [2], "dominant": 2})
    where.tell(Kind.READY, Member(where, "", ""))
    await alice.until(names.SPEAKERS, lambda told: told == {"speaking": [], "dominant": 2})
    where.tell(Kind.SINK_DEAL, alice, a=slot, b=1 | 2 << 8)
    layers = await alice.until(names.LAYERS)
    assert list(layers["slots"].values()) == [{"encoding": "m", "temporal": 2}]
    where.tell(Kind.SINK_DEAL, alice, a=slot, b=0xFF)
    await alice.until(names.LAYERS, lambda told: [*told["slots"].values()][0]["encoding"] is None)
    where.tell(Kind.VIEWERS, bob, a=sources[1], b=3 << 16 | 64 << 8 | 13)
    told = await bob.until(names.VIEWERS)
    assert told == {"sources": {"camera": {"viewers": 3, "lost_mean": 0.05, "lost_worst": 0.25}}}
    where.tell(Kind.SEND_TARGET, bob, b"short", a=sources[1])
    assert where.counts["events_ignored", "uplink"] == 1
    assert where.counts["internal_errors", ""] == 0


async def test_a_slow_member_hears_the_newest_and_keeps_its_channel(
    where: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MESSAGE_GAP", 0.0)
    monkeypatch.setattr(limits, "CHANNEL_CONGESTED", 2000)
    alice, bob = await members(where, 2)
    table = where.worker.writer.table
    voice = next(
        handle
        for handle in table.source_handles
        if (row := table.source(handle)) and (row.kind, row.transport) == (0, bob.transport[0])
    )
    del where.worker.members[alice.transport]  # nothing reaches her
    for number in range(5000):  # 450 kB if all of it waited
        where.tell(Kind.SPEAKING, bob, a=voice, b=number % 2)
    assert where.counts["channels_closed", ""] == 0
    where.worker.members[alice.transport] = alice
    where.tell(Kind.DOMINANT, bob, a=voice)
    await alice.until(names.SPEAKERS, lambda told: told == {"speaking": [2], "dominant": 2})
    assert len([kind for kind, _ in alice.said if kind == names.SPEAKERS]) < 50


async def test_a_roster_larger_than_a_channel_holds_comes_as_it_drains(
    where: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the small: rosters of 500 with long names are 300 kB, and no channel holds more than 256."""
    for name, value in (("PART_BYTES", 800), ("GAP_OF_EACH", 0.0)):
        monkeypatch.setattr(limits, f"ROSTER_{name}", value)
    monkeypatch.setattr(limits, "CHANNEL_CONGESTED", 1000)
    monkeypatch.setattr(limits, "CHANNEL_MAX_BUFFERED", 4000)
    inside = []
    for number in range(1, 9):
        device = f"{number}-".ljust(255, "d")
        member = Member(where, CREATOR if number == 1 else f"@person{number}:x".ljust(255, "x"), device)
        await (await (await member.call()).connect()).open()
        await member.until(names.SLOTS)
        inside.append(member)
    told = [content for kind, content in inside[-1].said if kind == names.MEMBERS]
    assert sum(len(str(content)) for content in told) > limits.CHANNEL_MAX_BUFFERED
    assert [each["member"] for content in told for each in content["present"]] == list(range(1, 9))
    assert [content.get("more", False) for content in told] == [True] * 7 + [False]
    assert where.counts["channels_closed", ""] == 0


async def test_stopping_silently_says_nothing(where: World) -> None:
    await members(where, 2)
    sent, rows = where.worker.sent, dict(where.worker.rows)
    await where.runtime.stop(silent=True)
    await asyncio.sleep(0)
    assert (where.worker.sent, where.worker.rows) == (sent, rows)


async def test_stopping_for_good_tells_everybody(where: World) -> None:
    alice, bob = await members(where, 2)
    await where.runtime.stop(silent=False)
    for member in (alice, bob):
        told = await member.until(names.HANGUP)
        assert told[names.ERROR]["code"] == "shutting_down"
        await where.until(lambda member=member: member.dtls.closed)
    assert where.worker.rows == {}
    assert [kind for _, kind, _ in where.matrix[-2:]] == [names.HANGUP, names.HANGUP]


async def test_where_one_memory_has_no_room_the_others_are_noted_all_the_same(where: World) -> None:
    class Notes:
        def __init__(self, full: bool) -> None:
            self.full = full
            self.noted: list[tuple[str, object]] = []

        def note(self, changes: list[tuple[str, object]]) -> None:
            if self.full:
                raise OSError(28, "No space left on device")
            self.noted += changes

    full, roomy = Notes(True), Notes(False)
    where.runtime._memories = (full, roomy)  # type: ignore[assignment]
    where.runtime.focus.notes = lambda: [[("a", 1)], [("b", 2)]]  # type: ignore[method-assign]
    where.runtime._note()
    assert roomy.noted == [("b", 2)]
    assert where.counts["internal_errors", "note"] == 1
    where.runtime._memories = ()
