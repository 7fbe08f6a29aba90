"""The grammar: what browsers write is read, and whatever else comes fails in one way and quickly."""

import json
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.protocol import limits
from control.protocol.sdp import Fingerprint, Offer, SdpError, parse_offer_untrusted
from control.protocol.sdp_answer import AnswerTransport, SlotSsrc, write_answer
from control.protocol.sdp_negotiate import Features, negotiate
from tests.protocol.sdp_offers import NAMES, offer_text

CORPUS = Path(__file__).parents[3] / "shared/vectors/libwebrtc-fuzz/sdp-corpus.json"
CODES = {"sdp_malformed", "sdp_unsupported", "too_large"}
TRANSPORT = AnswerTransport("focus", "p" * 24, Fingerprint("sha-256", bytes(32)), [("192.0.2.1", 40000)])


def _refusal(text: str) -> SdpError | None:
    try:
        offer = parse_offer_untrusted(text)
        # The last stream is the screen's in the stored offers that have one.
        streams = [section.stream_id for section in offer.sections if section.stream_id]
        purposes = {stream: {"purpose": "m.screenshare"} for stream in streams[-1:] if stream != streams[0]}
        agreement = negotiate(offer, purposes, Features())
        ssrcs = {slot.mid: SlotSsrc(n) for n, slot in enumerate(agreement.slots)}
        write_answer(offer, agreement, TRANSPORT, ssrcs, "cname")
    except SdpError as error:
        return error
    return None


def take_untrusted(text: str) -> str | None:
    """Everything an offer goes through; the refusal's code, or None. Anything but SdpError escapes."""
    refusal = None
    for attempt in range(3):
        begin = time.process_time()
        refusal = _refusal(text)
        if time.process_time() - begin < 0.05:
            break
        assert attempt < 2  # once may be the garbage collector
    if refusal is None:
        return None
    assert refusal.code in CODES
    assert refusal.message[0].isupper()
    assert refusal.message.endswith(".")
    assert len(refusal.message) < 250
    return refusal.code


# -- what browsers write --


@pytest.mark.parametrize("name", NAMES)
def test_real_offers_are_taken(name: str) -> None:
    assert take_untrusted(offer_text(name)) is None


@pytest.mark.parametrize("name", NAMES)
def test_line_ends_do_not_matter(name: str) -> None:
    text = offer_text(name)
    assert parse_offer_untrusted(text.replace("\r\n", "\n")) == parse_offer_untrusted(text)
    assert parse_offer_untrusted(text + "\r\n\r\n") == parse_offer_untrusted(text)


def by_mid(offer: Offer, mid: str) -> object:
    return next(section for section in offer.sections if section.mid == mid)


def test_chromium_read() -> None:
    offer = parse_offer_untrusted(offer_text("chromium_offer"))
    assert [section.kind for section in offer.sections] == ["audio", "video"] * 5 + ["application"]
    assert [section.mid for section in offer.sections] == [str(n) for n in range(11)]
    assert offer.bundle == tuple(str(n) for n in range(11))
    assert [section.direction for section in offer.sections[:3]] == ["sendonly", "sendonly", "recvonly"]
    assert (offer.setup, offer.extmap_allow_mixed) == ("actpass", True)
    (fingerprint,) = offer.fingerprints
    assert (fingerprint.algorithm, len(fingerprint.digest)) == ("sha-256", 32)
    audio, camera = offer.sections[:2]
    assert audio.stream_id == camera.stream_id
    assert len(audio.ssrcs) == 1
    assert camera.ssrcs == ()
    assert (camera.rids, camera.simulcast) == (("t", "m", "f"), True)
    vp8, rtx = camera.codecs
    assert (vp8.payload_type, vp8.name, vp8.clock_rate, vp8.repairs) == (96, "vp8", 90000, None)
    assert vp8.feedback == {"goog-remb", "transport-cc", "ccm fir", "nack", "nack pli"}
    assert (rtx.payload_type, rtx.name, rtx.repairs) == (97, "rtx", 96)
    data = offer.sections[-1]
    assert (data.formats, data.sctp_port, data.max_message_size) == (("webrtc-datachannel",), 5000, 262144)


def test_firefox_read() -> None:
    """Port 0 with a=bundle-only is open; the fingerprint is the session's; extensions have directions."""
    offer = parse_offer_untrusted(offer_text("firefox_offer"))
    assert not any(section.closed for section in offer.sections)
    camera = offer.sections[1]
    assert camera.rids == ("t", "m", "f")
    assert len(camera.ssrcs) == 6
    directions = {extension.id: extension.direction for extension in camera.extensions}
    assert (directions[3], directions[6], directions[9]) == ("sendrecv", "recvonly", "sendonly")
    assert {fingerprint.algorithm for section in offer.sections for fingerprint in section.fingerprints} == {
        "sha-256"
    }
    assert offer.sections[-1].max_message_size == 1073741823


# -- what is malformed or too much --

BASE = offer_text("chromium_offer")
LONG = "x" * limits.SDP_MAX_LINE


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "sdp_malformed"),
        ("v=0", "sdp_malformed"),
        ("v=1\r\n" + BASE[5:], "sdp_malformed"),
        ("hello", "sdp_malformed"),
        (BASE.replace("s=-", "s=\0"), "sdp_malformed"),
        (BASE.replace("t=0 0", "=0 0"), "sdp_malformed"),
        (BASE.replace("t=0 0", "t 0"), "sdp_malformed"),
        (BASE.replace("t=0 0", "t=0 0\r\n"), "sdp_malformed"),
        (BASE.replace("t=0 0", "t=0\r0"), "sdp_malformed"),
        (BASE.split("m=audio", maxsplit=1)[0], "sdp_malformed"),
        (BASE.replace("m=audio 9 UDP/TLS/RTP/SAVPF 111", "m=audio 9"), "sdp_malformed"),
        (
            BASE.replace("m=audio 9 UDP/TLS/RTP/SAVPF 111", "m=audio 65536 UDP/TLS/RTP/SAVPF 111"),
            "sdp_malformed",
        ),
        (BASE.replace("m=audio 9 UDP/TLS/RTP/SAVPF 111", "m=audio 9 UDP/TLS/RTP/SAVPF 128"), "sdp_malformed"),
        (
            BASE.replace("m=audio 9 UDP/TLS/RTP/SAVPF 111", "m=audio 9 UDP/TLS/RTP/SAVPF 111 111"),
            "sdp_malformed",
        ),
        (
            BASE.replace("m=audio 9 UDP/TLS/RTP/SAVPF 111", "m=au<dio 9 UDP/TLS/RTP/SAVPF 111"),
            "sdp_malformed",
        ),
        (BASE.replace("a=mid:3", "a=mid:2"), "sdp_malformed"),
        (BASE.replace("a=mid:3\r\n", ""), "sdp_malformed"),
        (BASE.replace("a=mid:3", "a=mid:has space"), "sdp_malformed"),
        (BASE.replace("a=mid:3", f"a=mid:{'3' * 17}"), "sdp_malformed"),
        (BASE.replace("a=rtpmap:96 VP8/90000", "a=rtpmap:96 VP8"), "sdp_malformed"),
        (BASE.replace("a=rtpmap:96 VP8/90000", "a=rtpmap:196 VP8/90000"), "sdp_malformed"),
        (BASE.replace("a=rtpmap:96 VP8/90000", "a=rtpmap:9\u0666 VP8/90000"), "sdp_malformed"),
        (BASE.replace("a=extmap:4 ", "a=extmap:x "), "sdp_malformed"),
        (BASE.replace("a=extmap:4 ", "a=extmap:2 "), "sdp_malformed"),
        (BASE.replace("a=extmap:4 ", "a=extmap:4/upwards "), "sdp_malformed"),
        (BASE.replace("a=simulcast:send t;~m;~f", "a=simulcast:send t;m;x"), "sdp_malformed"),
        (BASE.replace("a=simulcast:send t;~m;~f", "a=simulcast:send t;t"), "sdp_malformed"),
        (BASE.replace("a=simulcast:send t;~m;~f", "a=simulcast:send t;;f"), "sdp_malformed"),
        (BASE.replace("a=ice-pwd:", "a=ice-pwd:\t|"), "sdp_malformed"),
        (BASE.replace("a=ice-ufrag:", "a=ice-ufrag:" + "x" * limits.SDP_MAX_UFRAG), "sdp_malformed"),
        (BASE.replace("a=fingerprint:sha-256 ", "a=fingerprint:sha-256 00:"), "sdp_malformed"),
        (BASE.replace("a=fingerprint:sha-256 ", "a=fingerprint:sha-512 "), "sdp_malformed"),
        (BASE.replace("a=sctp-port:5000", "a=sctp-port:-1"), "sdp_malformed"),
        (BASE.replace("a=max-message-size:262144", "a=max-message-size:1e9"), "sdp_malformed"),
        (BASE.replace("a=group:BUNDLE 0 1", "a=group:BUNDLE 0 0 1"), "sdp_malformed"),
        (BASE + "a=x:" + "y" * 70000, "too_large"),
        (BASE + "a=x:" + "\u20ac" * 22000, "too_large"),
        (BASE + "a=x\r\n" * 4000, "too_large"),
        (BASE + f"a={LONG}", "too_large"),
        (BASE + "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:x\r\n" * 64, "too_large"),
        (BASE + "".join(f"m=audio 0 X 1\r\na=mid:x{n}\r\n" for n in range(64)), "too_large"),
        (
            BASE.replace(
                "a=mid:3", "a=mid:3\r\n" + "\r\n".join(["a=candidate:1 1 udp 1 ::1 9 typ host"] * 129)
            ),
            "too_large",
        ),
        (
            BASE.replace("a=mid:3", "a=mid:3\r\n" + "\r\n".join(f"a=ssrc:{n} x" for n in range(33))),
            "too_large",
        ),
        (
            BASE.replace("a=mid:3", "a=mid:3\r\n" + "\r\n".join(f"a=extmap:{n + 30} x" for n in range(65))),
            "too_large",
        ),
        (
            BASE.replace("a=mid:3", "a=mid:3\r\n" + "\r\n".join(f"a=rid:r{n} send" for n in range(9))),
            "too_large",
        ),
    ],
)
def test_malformed(text: str, code: str) -> None:
    assert take_untrusted(text) == code


@pytest.mark.parametrize(
    "extra",
    [
        "a=unknown:thing",
        "a=candidate:nonsense",
        "a=rtcp-fb:96 something new",
        "a=extmap:4100 urn:of-the-offer-answer-range",
        "a=extmap:15 urn:reserved",
        "a=extmap:20 urn:unknown",
        "a=fmtp:96 \u20ac",
        "a=ssrc-group:FID x y",
        "b=AS:500",
        "k=clear:x",
        "a=fingerprint:sha-999 00:11",
        "a=msid-semantic: WMS *",
        "a=rid:x recv",
    ],
)
def test_what_is_unknown_is_ignored(extra: str) -> None:
    assert take_untrusted(BASE.replace("a=mid:3\r\n", f"a=mid:3\r\n{extra}\r\n")) is None


def test_a_closed_section_may_hold_anything() -> None:
    closed = "m=audio 0 RTP/AVP 0 300\r\na=rtpmap:x\r\na=crypto:1\r\na=extmap:0\r\n"
    offer = parse_offer_untrusted(BASE + closed)
    assert offer.sections[-1].closed
    assert take_untrusted(BASE + closed) is None


# -- anything at all --


def corpus() -> list[str]:
    return [case["text"] for case in json.loads(CORPUS.read_text())["cases"]] if CORPUS.exists() else []


@pytest.mark.skipif(not CORPUS.exists(), reason="vectors are not here")
def test_corpus_of_libwebrtc() -> None:
    results = [take_untrusted(text) for text in corpus()]
    assert len(results) == 55


SEEDS = [offer_text(name) for name in ("chromium_offer", "firefox_offer", "chromium_all_codecs")] + corpus()


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(SEEDS), st.randoms(use_true_random=False))
def test_mutations_fail_in_one_way(text: str, random: object) -> None:
    """Lines removed, doubled, swapped and cut; characters replaced; words from elsewhere inserted."""
    lines = text.split("\n")
    for _ in range(random.randint(1, 8)):  # type: ignore[attr-defined]
        at = random.randrange(len(lines))  # type: ignore[attr-defined]
        other = random.choice(lines)  # type: ignore[attr-defined]
        line = lines[at]
        place = random.randint(0, len(line))  # type: ignore[attr-defined]
        lines[at : at + 1] = (
            random.choice(  # type: ignore[attr-defined]
                [
                    [],
                    [line, line],
                    [other],
                    [line, other],
                    [line[:place]],
                    [
                        line[:place]
                        + random.choice("\0\t \r;:=/~\u0666\U0001f600\ud800-0129")
                        + line[place + 1 :]
                    ],  # type: ignore[attr-defined]
                    [line[:place] + "99999999999999999999" + line[place:]],
                    [other[:place] + line[place:]],
                ]
            )
            or [""]
        )
    take_untrusted("\n".join(lines))


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=3000))
def test_any_text_fails_in_one_way(text: str) -> None:
    assert take_untrusted(text) in CODES
    assert take_untrusted("v=0\n" + text) in CODES
    take_untrusted(BASE + text)


@pytest.mark.parametrize(
    "line",
    [
        "a=rtcp-fb:* nack",
        "a=extmap:1 urn:x",
        "a=ssrc:1 msid:a b",
        "a=fmtp:96 apt=1;apt=2",
        "a=rid:a send",
        "a=group:BUNDLE 0",
        "a=fingerprint:sha-256 00",
        "a=msid:a b",
        "m=audio 9 X 1",
        "a=candidate:1",
    ],
)
def test_the_worst_repetitions_are_quick(line: str) -> None:
    room = limits.SDP_MAX_BYTES - len(BASE) - 10
    take_untrusted(BASE + (line + "\r\n") * min(room // (len(line) + 2), 3000))
    take_untrusted(
        BASE.replace("a=mid:3\r\n", "a=mid:3\r\n" + (line + "\r\n") * min(room // (len(line) + 2), 3000))
    )


@pytest.mark.parametrize(
    "name", ["fmtp:96 apt=", "simulcast:send ", "group:BUNDLE ", "msid:", "rtpmap:96 ", "ssrc:1 msid:"]
)
def test_the_longest_lines_are_quick(name: str) -> None:
    for filler in ("x", "x ", "x;", "1,", "x/", "=", "~"):
        take_untrusted(
            BASE + f"a={name}" + (filler * limits.SDP_MAX_LINE)[: limits.SDP_MAX_LINE - len(name) - 2]
        )


# -- sections that are alike are read once --


@pytest.mark.parametrize("name", NAMES)
def test_sections_alike_are_read_as_if_each_were_alone(name: str) -> None:
    text = offer_text(name).replace("\r\n", "\n").rstrip("\n")
    session, *sections = text.split("\nm=")
    # An attribute that nobody knows makes no two of them alike.
    apart = [f"{section}\na=x-apart:{index}" for index, section in enumerate(sections)]
    assert parse_offer_untrusted("\nm=".join([session, *apart])) == parse_offer_untrusted(text)


def two_alike() -> tuple[str, str, str]:
    """A browser's offer, and the mids of two sections of it that differ in nothing else."""
    text = offer_text("chromium_offer").replace("\r\n", "\n")
    seen: dict[str, str] = {}
    for section in text.split("\nm=")[1:]:
        mid = section.partition("\na=mid:")[2].partition("\n")[0]
        others = section.replace(f"\na=mid:{mid}\n", "\n")
        if others in seen:
            return text, seen[others], mid
        seen[others] = mid
    raise AssertionError("no two are alike")


@pytest.mark.parametrize("mid", ["", "two words", "m" * (limits.SDP_MAX_MID + 1)])
def test_the_mid_of_a_section_like_another_is_checked(mid: str) -> None:
    text, _, second = two_alike()
    assert take_untrusted(text.replace(f"a=mid:{second}\n", f"a=mid:{mid}\n")) == "sdp_malformed"


def test_sections_alike_may_not_have_the_same_mid() -> None:
    text, first, second = two_alike()
    assert take_untrusted(text.replace(f"a=mid:{second}\n", f"a=mid:{first}\n")) == "sdp_malformed"


LINES = (
    "a=ssrc:{n} cname:x", "a=ssrc:1 cname:{n}", "a=ssrc-group:FID {n} 5", "a=rtpmap:96 VP8/90000",
    "a=fmtp:96 x={n}", "a=rtcp-fb:96 nack", "a=rtcp-fb:* nack", "a=extmap:3 urn:{n}", "a=rid:{n} send",
    "a=candidate:1 1 udp 1 1.2.3.4 {n} typ host", "a=msid:a b{n}", "a=fingerprint:sha-256 AA:{n}",
    "a=x{n}:y", "a=x", "b=AS:{n}",
)  # fmt: skip


def _work(text: str) -> int:
    """Lines of Python that reading it takes."""
    lines = 0

    def count(_frame: FrameType, event: str, _what: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return count

    former = sys.gettrace()
    sys.settrace(count)
    try:
        _refusal(text)
    finally:
        sys.settrace(former)
    return lines


@pytest.mark.parametrize("line", LINES)
def test_twice_the_lines_are_twice_the_work(line: str) -> None:
    """Nobody's 64 KiB keep everybody's control busy: what is not refused takes no more for each line."""
    text = offer_text(NAMES[0])
    at = text.index("\r\n", text.index("m=video")) + 2
    none, once, twice = (
        _work(text[:at] + "".join(line.format(n=n) + "\r\n" for n in range(count)) + text[at:])
        for count in (0, 400, 800)
    )
    assert twice - none <= 2.2 * (once - none) + none
