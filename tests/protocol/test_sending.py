"""What members are asked to send: what a call begins with, then the worker's orders, not too often."""

from typing import Any

import pytest

from control.protocol import limits, names
from control.protocol.events import ChannelClosed, ChannelOpened, SendTarget
from control.protocol.rates import Rates
from control.protocol.rows import SourceKind
from tests.protocol.people import Person, counted, metadata, offer, people, world

GAP = limits.MESSAGE_GAP


def look(person: Person, at: Person, height: float, **more: Any) -> None:
    entry = {"stream_id": str(at.number), "track_id": "camera", "height": height, **more}
    person.say(names.TRACK_SUBSCRIPTION, {"subscribe": [entry]})


def order(sender: Person, encoding: int, bps: int, scale: int = 100, framerate: int = 0, **more: Any) -> None:
    assert sender.transport is not None
    source = sender.source(more.get("source", "camera"))
    sender.world.handle(SendTarget(sender.transport, source, encoding, bps > 0, bps, scale, framerate))


def encodings(person: Person, source: str = "camera") -> dict[str, Any]:
    told = person.last(names.SEND)
    assert told is not None
    found: dict[str, Any] = told["sources"][source]["encodings"]
    return found


def test_before_the_worker_has_spoken_what_is_viewed_is_on() -> None:
    where = world()
    alice, bob = people(where, 2)
    where.pass_time(GAP)
    assert encodings(bob) == {
        "t": {"active": True, "max_bitrate": 150_000},
        "m": {"active": False},
        "f": {"active": False},
    }
    look(alice, bob, 720)
    assert encodings(bob)["f"] == {"active": True, "max_bitrate": 1_700_000}
    where.pass_time(GAP)
    look(alice, bob, 90)
    assert encodings(bob)["f"] == {"active": False}


@pytest.mark.parametrize(
    ("bps", "scale", "framerate", "told"),
    [
        (900_000, 100, 0, {"active": True, "max_bitrate": 900_000}),
        (300_000, 150, 15, {
            "active": True, "max_bitrate": 300_000, "scale_resolution_down_by": 1.5, "max_framerate": 15,
        }),
        (80_000, 100, 8, {"active": True, "max_bitrate": 80_000, "max_framerate": 8}),
        (0, 200, 8, {"active": False}),
    ],
)  # fmt: skip
def test_an_order_becomes_what_a_sender_is_told(
    bps: int, scale: int, framerate: int, told: dict[str, Any]
) -> None:
    where = world()
    _, bob = people(where, 2)
    where.pass_time(GAP)
    order(bob, 2, 1)  # so that each of them is a change
    where.pass_time(GAP)
    order(bob, 2, bps, scale, framerate)
    assert encodings(bob)["f"] == told


def test_what_the_worker_said_holds_whatever_is_viewed() -> None:
    where = world()
    alice, bob = people(where, 2)
    where.pass_time(GAP)
    order(bob, 2, 0)
    look(alice, bob, 720)
    where.pass_time(GAP)
    assert encodings(bob)["f"] == {"active": False}  # a viewer too slow for it
    order(bob, 2, 700_000)
    assert encodings(bob)["f"]["max_bitrate"] == 700_000
    # Of an encoding it has not spoken of, what is viewed still counts.
    where.pass_time(GAP)
    look(alice, bob, 300)
    assert encodings(bob)["m"] == {"active": True, "max_bitrate": 500_000}
    assert encodings(bob)["f"]["max_bitrate"] == 700_000


def test_the_first_change_goes_at_once_and_the_others_together() -> None:
    where = world()
    _, bob = people(where, 2)
    where.pass_time(1)
    told = [kind for kind, _ in bob.said].count(names.SEND)
    for bps in (900_000, 800_000, 700_000, 600_000):
        order(bob, 2, bps)
        order(bob, 0, bps // 10)
        where.now += GAP / 5
    assert [kind for kind, _ in bob.said].count(names.SEND) == told + 1
    assert encodings(bob)["f"]["max_bitrate"] == 900_000
    where.pass_time(GAP)
    assert [kind for kind, _ in bob.said].count(names.SEND) == told + 2
    assert (encodings(bob)["f"]["max_bitrate"], encodings(bob)["t"]["max_bitrate"]) == (600_000, 60_000)
    where.pass_time(5)
    assert [kind for kind, _ in bob.said].count(names.SEND) == told + 2


def test_a_change_that_is_taken_back_is_not_told() -> None:
    where = world()
    _, bob = people(where, 2)
    where.pass_time(1)
    order(bob, 2, 900_000)
    order(bob, 2, 500_000)
    order(bob, 2, 900_000)
    told = len(bob.said)
    where.pass_time(1)
    assert len(bob.said) == told


def test_a_new_channel_is_told_what_holds() -> None:
    where = world()
    _, bob = people(where, 2)
    where.pass_time(1)
    order(bob, 2, 900_000)
    where.handle(ChannelClosed(bob.transport))
    order(bob, 2, 400_000)
    where.handle(ChannelOpened(bob.transport))
    assert bob.said[-1][0] == names.SEND
    assert encodings(bob)["f"]["max_bitrate"] == 400_000


def test_a_screen_has_one_encoding_called_f() -> None:
    where = world()
    _, bob = people(where, 2)
    sdp = offer(sources=("audio", "camera", "screen"))
    bob.say(names.NEGOTIATE, {
        "description": {"type": "offer", "sdp": sdp}, "sdp_stream_metadata": metadata(),
    })  # fmt: skip
    where.pass_time(1)
    assert encodings(bob, "screen") == {"f": {"active": True, "max_bitrate": 2_500_000}}
    order(bob, 0, 800_000, 100, 5, source="screen")
    assert encodings(bob, "screen")["f"]["max_framerate"] == 5
    row = where.tables[0].sources[bob.source("screen")]
    assert (row.kind, row.max_bps) == (SourceKind.SCREEN, (2_500_000,))
    for inactive in (("screen",), ()):
        again = offer(sources=("audio", "camera", "screen"), inactive=inactive)
        bob.say(names.NEGOTIATE, {
            "description": {"type": "offer", "sdp": again}, "sdp_stream_metadata": metadata(),
        })  # fmt: skip
        where.pass_time(GAP)
        assert ("screen" in (bob.last(names.SEND) or {})["sources"]) == (not inactive)


def test_what_the_worker_says_of_rows_that_are_gone_is_ignored() -> None:
    where = world()
    _, bob = people(where, 2)
    told = len(bob.said)
    effects = where.handle(SendTarget(bob.transport, 99, 0, True, 1, 100, 0))
    assert counted(effects, "events_ignored") == ["media"]
    assert len(bob.said) == told


def test_rates_are_the_operators() -> None:
    rates = Rates((100_000, 400_000, 1_000_000), 2_000_000, 40, 3_000_000)
    where = world(rates=rates)
    _, bob = people(where, 2)
    where.pass_time(GAP)
    assert encodings(bob)["t"]["max_bitrate"] == 100_000
    table = where.tables[0]
    camera = table.sources[bob.source("camera")]
    assert (camera.max_bps, camera.share_percent) == ((100_000, 400_000, 1_000_000), 40)
    assert table.sources[bob.source("audio")].max_bps == (limits.AUDIO_BITRATE,)
    row = table.transports[bob.transport.handle]
    assert row.downlink_max_bps == 3_000_000
    assert row.remb_bps == (1_500_000 + limits.AUDIO_BITRATE) * limits.REMB_PERCENT // 100


def test_a_camera_with_fewer_encodings_has_the_rates_of_those() -> None:
    where = world()
    _, bob = people(where, 2, sdp=offer(rids=("t", "f")))
    assert where.tables[0].sources[bob.source("camera")].max_bps == (150_000, 1_700_000)
