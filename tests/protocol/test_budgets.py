"""What one participant may make us read: at each limit it is taken, and beyond it refused."""

from collections.abc import Callable
from typing import Any

import pytest

from control.protocol import limits, names
from control.protocol.checked import ContentError
from control.protocol.reading import parse_channel_untrusted, parse_matrix_untrusted
from control.protocol.sdp import SdpError
from control.protocol.sdp_agreement import Features
from control.protocol.transport import agree_untrusted
from tests.protocol.people import metadata, offer

DIGEST = ":".join(["AB"] * 32)


def lines(section: str, made: list[str]) -> str:
    """An offer with these lines more in one of its sections."""
    return offer().replace(
        f"a=mid:{section}\r\n", f"a=mid:{section}\r\n" + "".join(f"a={each}\r\n" for each in made)
    )


def many_lines(count: int) -> str:
    text = offer()
    return text + "a=x\r\n" * (count - text.count("\n"))


def sections(count: int) -> str:
    text = offer()
    closed = "m=video 0 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\na=mid:{}\r\n"
    return text + "".join(closed.format(f"c{index}") for index in range(count - text.count("m=")))


SDP: dict[str, Callable[[int], str]] = {
    "SDP_MAX_LINES": many_lines,
    "SDP_MAX_LINE": lambda count: offer() + "a=" + "x" * (count - 2) + "\r\n",
    "SDP_MAX_SECTIONS": sections,
    "SDP_MAX_CANDIDATES": lambda count: lines(
        "audio", [f"candidate:{index} 1 udp 1 192.0.2.1 9 typ host" for index in range(count)]
    ),
    "SDP_MAX_SSRCS": lambda count: lines("audio", [f"ssrc:{index + 1} cname:x" for index in range(count)]),
    "SDP_MAX_UFRAG": lambda count: offer(ufrag="u" * count),
    "SLOT_MAX_PAIRS": lambda count: offer(pairs=count),
    "SLOT_MAX_LOUDEST": lambda count: offer(loudest=count),
}


@pytest.mark.parametrize("name", SDP)
def test_offers(name: str) -> None:
    most: int = getattr(limits, name)
    agree_untrusted(SDP[name](most), {}, Features())
    with pytest.raises(SdpError):
        agree_untrusted(SDP[name](most + 1), {}, Features())


def candidates(count: int) -> dict[str, Any]:
    one = {"candidate": "candidate:1 1 udp 1 192.0.2.1 9 typ host", "sdpMid": "0", "sdpMLineIndex": 0}
    return {"call_id": "c", "party_id": "p", "version": "1", "candidates": [one] * count}


def streams(count: int) -> dict[str, Any]:
    info = metadata()["userstream"]
    told = {f"s{index}": info for index in range(count)}
    return {"call_id": "c", "party_id": "p", "version": "1", names.METADATA: told}


def test_candidates_of_one_event() -> None:
    parse_matrix_untrusted(names.CANDIDATES, candidates(limits.CANDIDATES_MAX))
    with pytest.raises(ContentError):
        parse_matrix_untrusted(names.CANDIDATES, candidates(limits.CANDIDATES_MAX + 1))


def test_streams_of_one_member() -> None:
    parse_matrix_untrusted(names.METADATA_CHANGED, streams(limits.STREAMS_MAX))
    with pytest.raises(ContentError):
        parse_matrix_untrusted(names.METADATA_CHANGED, streams(limits.STREAMS_MAX + 1))


def test_subscriptions_of_one_message() -> None:
    def text(count: int) -> str:
        entry = '{"stream_id":"1","track_id":"audio"}'
        entries = ",".join([entry] * count)
        return f'{{"type":"{names.TRACK_SUBSCRIPTION}","content":{{"subscribe":[{entries}]}}}}'

    parse_channel_untrusted(text(limits.SUBSCRIPTION_ENTRIES_MAX))
    with pytest.raises(ContentError):
        parse_channel_untrusted(text(limits.SUBSCRIPTION_ENTRIES_MAX + 1))


def test_bytes_of_one_message() -> None:
    def text(kind: str, size: int) -> str:
        head = f'{{"type":"{kind}","content":{{}},"x":"'
        return head + "x" * (size - len(head) - 2) + '"}'

    parse_channel_untrusted(text(names.PING, limits.MESSAGE_MAX_BYTES))
    with pytest.raises(ContentError):
        parse_channel_untrusted(text(names.PING, limits.MESSAGE_MAX_BYTES + 1))
