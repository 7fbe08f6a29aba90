"""What a member sees of the others: roster, slots, wanted encodings, routes."""

import re

import pytest

from control.protocol import limits, names
from control.protocol.content import serialise
from control.protocol.events import (
    ChannelClosed,
    ChannelOpened,
    CloseTransport,
    ConsentExpired,
    HandshakeDone,
    PeerClosed,
    PublishRoutes,
    RowsFreed,
    SendChannel,
    SinkSwitched,
    SourceLive,
)
from control.protocol.rows import NONE, SourceKind
from tests.protocol.people import (
    CONFERENCE_ID,
    KEYS,
    Person,
    Ticket,
    counted,
    metadata,
    offer,
    people,
    unpadded,
    world,
)
from tests.protocol.sdp_offers import offer_text


def subscription(*wishes: tuple[int, str, int]) -> dict:
    return {
        "subscribe": [
            {"stream_id": str(member), "track_id": source, "width": height * 2, "height": height}
            for member, source, height in wishes
        ]
    }


def test_the_first_messages_of_a_channel_in_order() -> None:
    (alice,) = people(world(), 1)
    assert [kind for kind, _ in alice.said] == [names.WELCOME, names.MEMBERS, names.SLOTS, names.SEND]
    assert alice.said[0][1].pop("resume")["url"] == "resume"
    assert alice.said[0][1] == {
        "version": 1,
        "member": 1,
        "conference_id": CONFERENCE_ID,
        "ping_interval_ms": 2000,
        "epoch": 0,
        "verifier": unpadded(Ticket().verifier),
    }
    assert alice.said[1][1] == {
        "reset": True,
        "gone": [],
        "present": [
            {
                "member": 1,
                "user_id": "@alice:example.org",
                "device_id": "DEV0",
                "audio_muted": False,
                "video_muted": False,
                "sources": ["audio", "camera"],
            }
        ],
    }
    assert alice.said[2][1]["revision"] == 1
    assert {slot["mid"] for slot in alice.said[2][1]["slots"]} == {
        f"{kind}{n}" for kind in "av" for n in range(4)
    }
    assert all(slot["member"] is None for slot in alice.said[2][1]["slots"])


def test_three_people_see_each_other_on_stable_pairs() -> None:
    where = world()
    alice, bob, carol = people(where, 3)
    assert [each.number for each in (alice, bob, carol)] == [1, 2, 3]
    for each in (alice, bob, carol):
        assert set(each.roster) == {1, 2, 3}
    assert alice.slots["a0"] == (2, "audio")
    assert alice.slots["v0"] == (2, "camera")
    assert alice.slots["v1"] == (3, "camera")
    assert bob.slots["v0"] == (1, "camera")
    bob.say(names.HANGUP, {"reason": "user_hangup"})
    assert set(alice.roster) == {1, 3}
    assert alice.slots["v0"] == (None, None)
    assert alice.slots["v1"] == (3, "camera")


def test_a_member_is_routed_at_dtls_and_seen_at_the_channel() -> None:
    where = world()
    (alice,) = people(where, 1)
    bob = Person(where, "@bob:example.org", "B", "b").call().connect(channel=False)
    routed = [row for row in where.tables[0].sinks.values() if row.source != NONE]
    assert len(routed) == 4  # audio and camera, both ways
    assert set(alice.roster) == {1}
    assert alice.slots["v0"] == (None, None)
    assert bob.transport is not None
    where.handle(ChannelOpened(bob.transport))
    assert set(alice.roster) == {1, 2}
    kinds = [kind for kind, _ in alice.said]
    assert kinds[-2:] == [names.MEMBERS, names.SLOTS]
    assert alice.slots["v0"] == (2, "camera")


def test_nothing_is_routed_before_dtls() -> None:
    where = world()
    people(where, 1)
    Person(where, "@bob:example.org", "B", "b").call()
    table = where.tables[0]
    assert all(row.source == NONE for row in table.sinks.values())
    assert sorted(row.keys is None for row in table.transports.values()) == [False, True]


def test_rows_of_a_conference() -> None:
    where = world()
    people(where, 2)
    table = where.tables[0]
    for handle, row in table.transports.items():
        assert row.ice[0].local_ufrag.startswith("aaa" + "ab"[handle])
        assert row.ice[0].remote_ufrag == "uFrg"
        assert (row.ext.mid, row.ext.rid, row.ext.audio_level) == (4, 10, 1)
        assert [table.sources[source].transport for source in row.sources] == [handle, handle]
    kinds = {row.kind for row in table.sources.values()}
    assert kinds == {SourceKind.AUDIO, SourceKind.CAMERA}
    camera = next(row for row in table.sources.values() if row.kind == SourceKind.CAMERA)
    assert (camera.rids, camera.payload_type, camera.clock_rate, camera.mid) == (
        ("t", "m", "f"),
        96,
        90000,
        "camera",
    )


@pytest.mark.parametrize(
    ("height", "encoding", "wanted"),
    [(1, 0, {"t"}), (180, 0, {"t"}), (181, 1, {"t", "m"}), (360, 1, {"t", "m"}), (361, 2, {"t", "f"})],
)
def test_a_height_asks_for_an_encoding(height: int, encoding: int, wanted: set[str]) -> None:
    where = world()
    alice, bob = people(where, 2)
    alice.say(names.TRACK_SUBSCRIPTION, subscription((2, "camera", height)))
    sink = next(
        row
        for row in where.tables[0].sinks.values()
        if row.kind == SourceKind.CAMERA and row.source != NONE and row.transport == alice.transport.handle
    )
    assert (sink.max_encoding, sink.focus, sink.hidden) == (encoding, encoding == 2, False)
    where.pass_time(limits.MESSAGE_GAP)
    assert bob.wanted == {"camera": wanted}


def test_alone_nobody_has_to_send_and_the_first_newcomer_changes_that() -> None:
    where = world()
    (alice,) = people(where, 1)
    assert alice.wanted == {"camera": set()}
    Person(where, "@bob:example.org", "B", "b").call()
    where.pass_time(limits.MESSAGE_GAP)
    assert alice.wanted == {"camera": {"t"}}


def test_unsubscribing_stops_the_source_for_this_viewer_alone() -> None:
    where = world()
    alice, bob, carol = people(where, 3)
    alice.say(names.TRACK_SUBSCRIPTION, {"unsubscribe": [{"stream_id": "2", "track_id": "camera"}]})
    assert alice.slots["v0"] == (None, None)
    assert alice.slots["a0"] == (2, "audio")
    assert carol.slots["v1"] == (2, "camera")
    assert bob.wanted == {"camera": {"t"}}
    carol.say(names.TRACK_SUBSCRIPTION, {"unsubscribe": [{"stream_id": "2", "track_id": "camera"}]})
    where.pass_time(3)
    assert bob.wanted == {"camera": set()}
    alice.say(names.TRACK_SUBSCRIPTION, subscription((2, "camera", 90)))
    assert alice.slots["v0"] == (2, "camera")
    assert bob.wanted == {"camera": {"t"}}


def test_two_encodings_without_a_middle_one() -> None:
    where = world()
    alice, bob = people(where, 2, sdp=offer(rids=("t", "f")))
    alice.say(names.TRACK_SUBSCRIPTION, subscription((2, "camera", 300)))
    sink = next(
        row
        for row in where.tables[0].sinks.values()
        if row.kind == SourceKind.CAMERA and row.source != NONE and row.transport == alice.transport.handle
    )
    assert sink.max_encoding == 0  # position 1 is the full one, which was not asked for
    assert bob.wanted == {"camera": {"t"}}


def test_mute_is_told_and_routed() -> None:
    where = world()
    alice, bob = people(where, 2)
    bob.say(names.METADATA_CHANGED, {"sdp_stream_metadata": metadata(audio_muted=True)})
    assert alice.roster[2]["audio_muted"] is True
    assert alice.roster[2]["video_muted"] is False
    muted = [row.kind for row in where.tables[0].sources.values() if row.muted]
    assert muted == [SourceKind.AUDIO]
    bob.say(names.METADATA_CHANGED, {"sdp_stream_metadata": metadata()})
    where.pass_time(limits.MESSAGE_GAP)
    assert alice.roster[2]["audio_muted"] is False
    assert not any(row.muted for row in where.tables[0].sources.values())


def test_muted_from_the_first_moment() -> None:
    where = world()
    (alice,) = people(where, 1)
    Person(where, "@bob:example.org", "B", "b").call(sdp_stream_metadata=metadata(video_muted=True)).connect()
    assert alice.roster[2]["video_muted"] is True


def test_who_finds_no_pair_waits_until_slots_are_added() -> None:
    where = world()
    alice, *others = people(where, 4, sdp=offer(pairs=2))
    assert {alice.slots[mid][0] for mid in ("v0", "v1")} == {2, 3}
    alice.say(
        names.NEGOTIATE,
        {"description": {"type": "offer", "sdp": offer(pairs=6)}, "sdp_stream_metadata": metadata()},
    )
    answer = alice.last(names.NEGOTIATE)
    assert answer["description"]["type"] == "answer"
    assert answer["description"]["sdp"].count("a=sendonly") == 12
    assert [kind for kind, _ in alice.said][-2:] == [names.NEGOTIATE, names.SLOTS]
    assert [alice.slots[f"v{pair}"][0] for pair in range(4)] == [2, 3, 4, None]
    others[0].say(names.HANGUP, {})
    assert [alice.slots[f"v{pair}"][0] for pair in range(4)] == [None, 3, 4, None]


def test_a_freed_pair_goes_to_who_waits() -> None:
    where = world()
    alice, bob, *_ = people(where, 4, sdp=offer(pairs=2))
    bob.say(names.HANGUP, {})
    assert [alice.slots[f"v{pair}"][0] for pair in range(2)] == [4, 3]


def test_ssrcs_of_slots_stay_through_negotiations() -> None:
    where = world()
    alice, *_ = people(where, 3)
    before = {handle: row.ssrc for handle, row in where.tables[0].sinks.items()}
    alice.say(names.NEGOTIATE, {"description": {"type": "offer", "sdp": offer(pairs=8)}})
    after = {handle: row.ssrc for handle, row in where.tables[0].sinks.items()}
    assert before.items() <= after.items()
    assert len(after) == len(before) + 8
    for handle, row in where.tables[0].sinks.items():
        assert (f"a=ssrc:{row.ssrc} " in alice.last(names.NEGOTIATE)["description"]["sdp"]) == (
            row.transport == alice.transport.handle
        ), handle


def test_a_screen_takes_a_pair_of_its_own() -> None:
    where = world()
    alice, bob = people(where, 2)
    bob.say(
        names.NEGOTIATE,
        {
            "description": {"type": "offer", "sdp": offer(sources=("audio", "camera", "screen"))},
            "sdp_stream_metadata": metadata(),
        },
    )
    assert alice.roster[2]["sources"] == ["audio", "camera", "screen"]
    assert alice.slots["v0"] == (2, "camera")
    assert alice.slots["v1"] == (2, "screen")
    bob.say(
        names.NEGOTIATE,
        {
            "description": {
                "type": "offer",
                "sdp": offer(sources=("audio", "camera", "screen"), inactive=("screen",)),
            },
            "sdp_stream_metadata": metadata(),
        },
    )
    where.pass_time(limits.MESSAGE_GAP)
    assert alice.roster[2]["sources"] == ["audio", "camera"]
    assert alice.slots["v1"] == (None, None)


def test_an_ice_restart_keeps_both_credentials() -> None:
    where = world()
    (alice,) = people(where, 1)
    (before,) = where.tables[0].transports.values()
    alice.say(names.NEGOTIATE, {"description": {"type": "offer", "sdp": offer(ufrag="nEwU")}})
    (after,) = where.tables[0].transports.values()
    assert after.ice[1] == before.ice[0]
    assert after.ice[0].remote_ufrag == "nEwU"
    assert after.ice[0].local_pwd != before.ice[0].local_pwd
    assert f"a=ice-ufrag:{after.ice[0].local_ufrag}" in alice.last(names.NEGOTIATE)["description"]["sdp"]


def test_an_offer_that_cannot_be_answered_changes_nothing() -> None:
    where = world()
    alice, _ = people(where, 2)
    before = where.tables[0]
    alice.say(names.NEGOTIATE, {"description": {"type": "offer", "sdp": "v=0\r\nrubbish"}})
    assert alice.last(names.NEGOTIATE)["error"]["code"] == "sdp_malformed"
    assert where.tables[0] == before


def test_pings_every_two_seconds_while_the_channel_is_open() -> None:
    where = world()
    (alice,) = people(where, 1)
    effects = where.pass_time(7)
    assert [type(each) for each in effects] == [SendChannel] * 3
    where.handle(ChannelClosed(alice.transport))
    assert where.pass_time(35) == []


def test_a_closed_channel_is_no_leave_and_an_opened_one_is_told_all() -> None:
    where = world()
    alice, bob = people(where, 2)
    where.handle(ChannelClosed(bob.transport))
    assert set(alice.roster) == {1, 2}
    assert any(row.source != NONE for row in where.tables[0].sinks.values())
    told = len(bob.said)
    where.handle(ChannelOpened(bob.transport))
    assert [kind for kind, _ in bob.said[told:]] == [names.WELCOME, names.MEMBERS, names.SLOTS, names.SEND]
    assert bob.said[told + 1][1]["reset"] is True


@pytest.mark.parametrize("way", ["consent", "closed", "hangup", "matrix"])
def test_ways_to_leave(way: str) -> None:
    where = world()
    alice, bob = people(where, 2)
    match way:
        case "consent":
            where.handle(ConsentExpired(bob.transport))
            assert bob.hung_up["reason"] == "ice_failed"
        case "closed":
            where.handle(PeerClosed(bob.transport))
        case "hangup":
            bob.say(names.HANGUP, {"reason": "user_hangup"})
        case "matrix":
            content = {"call_id": "call1", "party_id": "DEV1", "version": "1"}
            where.matrix(names.HANGUP, content, bob.user_id)
    assert set(alice.roster) == {1}
    assert len(where.tables[0].transports) == 1
    assert where.focus.members == 1
    assert where.effects.count(CloseTransport(bob.transport, silent=False)) == 1
    # What comes late from the transport is nobody's.
    assert counted(where.handle(ChannelClosed(bob.transport)), "events_ignored") == ["transport"]
    assert counted(where.handle(HandshakeDone(bob.transport, KEYS)), "events_ignored") == ["transport"]


def test_the_conference_waits_a_minute_for_somebody_to_come_back() -> None:
    where = world()
    (alice,) = people(where, 1)
    alice.say(names.HANGUP, {})
    assert where.tables[0].transports == {}
    where.pass_time(59)
    assert len(where.focus.conferences) == 1
    bob = Person(where, "@bob:example.org", "B", "b").call()
    assert bob.answer is not None
    bob.connect()
    assert bob.number == 2
    bob.say(names.HANGUP, {})
    where.pass_time(60)
    assert where.focus.conferences == {}
    assert where.focus.next_timeout() is None
    late = Person(where, "@carol:example.org", "C", "c").call()
    assert late.refused[names.ERROR]["code"] == "conference_unknown"


def test_rows_are_gone_before_their_handles_are_given_out_again() -> None:
    where = world()
    alice, bob = people(where, 2)
    assert bob.transport is not None
    bob.say(names.HANGUP, {})
    carol = Person(where, "@carol:example.org", "C", "c").call().connect()
    assert carol.transport is not None
    assert carol.transport.handle == bob.transport.handle
    assert carol.transport.incarnation != bob.transport.incarnation
    changes = [effect for effect in where.effects if isinstance(effect, PublishRoutes)]
    gone = next(index for index, each in enumerate(changes) if bob.transport.handle in each.gone_transports)
    back = max(index for index, each in enumerate(changes) if carol.transport.handle in each.transports)
    assert gone < back
    assert alice.slots["v0"] == (3, "camera")


def test_more_slots_than_the_worker_has_rows_for() -> None:
    where = world(rows=(8, 64, 20))
    alice, _ = people(where, 2)
    before = where.tables[0]
    alice.say(names.NEGOTIATE, {"description": {"type": "offer", "sdp": offer(pairs=12)}})
    assert alice.last(names.NEGOTIATE)["error"]["code"] == "full"
    assert where.tables[0] == before
    alice.say(names.NEGOTIATE, {"description": {"type": "offer", "sdp": offer(pairs=5)}})
    assert "description" in alice.last(names.NEGOTIATE)


def test_a_large_roster_comes_in_messages_that_fit() -> None:
    where = world()
    everybody = people(where, 60, sdp=offer(pairs=1))
    told = [content for kind, content in everybody[-1].said if kind == names.MEMBERS]
    assert [(content["reset"], content.get("more", False)) for content in told] == [
        (True, True),
        (False, False),
    ]
    assert all(len(serialise(names.MEMBERS, content)) < limits.MESSAGE_MAX_BYTES for content in told)
    assert len(everybody[-1].roster) == 60


def test_what_the_worker_tells_of_media_is_counted() -> None:
    where = world()
    (alice,) = people(where, 1)
    assert counted(where.handle(SourceLive(alice.transport, 0, 1)), "sources_live") == [""]
    assert counted(where.handle(SinkSwitched(alice.transport, 0, 1)), "sinks_switched") == [""]


def test_slots_are_numbered_when_all_of_them_can_be() -> None:
    chromium = offer_text("chromium_offer")
    one_slot_without = re.sub(r"(a=mid:7\r\n)", r"\1a=x-nothing\r\n", chromium)
    at = one_slot_without.index("a=x-nothing")
    one_slot_without = one_slot_without[:at] + one_slot_without[at:].replace(
        "a=rtcp-fb:96 transport-cc\r\n", "", 1
    )
    for sdp, numbered in ((chromium, True), (one_slot_without, False), (offer(), False)):
        where = world()
        people(where, 1, sdp=sdp)
        (row,) = where.tables[0].transports.values()
        assert row.transport_cc_down is numbered
        assert bool(row.ext.transport_cc) == (sdp != offer())


def test_tmmbr_stands_in_the_row_of_who_offered_it() -> None:
    chromium = offer_text("chromium_offer")
    for sdp in (
        chromium,
        chromium.replace("a=rtcp-fb:96 ccm fir", "a=rtcp-fb:96 ccm fir\r\na=rtcp-fb:96 ccm tmmbr"),
    ):
        where = world()
        people(where, 1, sdp=sdp)
        rows = {row.kind: row.tmmbr for row in where.tables[0].sources.values()}
        assert rows == {SourceKind.AUDIO: False, SourceKind.CAMERA: "tmmbr" in sdp}


def test_rows_of_a_former_process_are_given_out_once_they_are_free() -> None:
    taken = frozenset({0}), frozenset({0, 1}), frozenset(range(8))
    where = world(rows=(2, 4, 16), occupied=taken)
    people(where, 1)
    bob = Person(where, "@bob:example.org", "B", "b").call()
    assert bob.refused is not None
    where.handle(RowsFreed(0, *taken))
    bob = Person(where, "@bob:example.org", "B", "b2").call()
    assert bob.transport is not None
    assert bob.transport.handle == 0


def test_nothing_secret_is_written_by_repr() -> None:
    where = world()
    people(where, 2)
    text = (
        repr(where.effects) + repr(list(where.focus._by_transport.values())) + repr(HandshakeDone(None, KEYS))
    )
    for secret in ("v=0", "rrrr", "tttt", where.tables[0].transports[0].ice[0].local_pwd):
        assert secret not in text
