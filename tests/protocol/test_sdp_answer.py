"""Answers, read again by our own parser and by aiortc's, which knows nothing of ours."""

import re

import pytest

from control.protocol.sdp import Fingerprint, Section, parse_offer_untrusted
from control.protocol.sdp_agreement import EXTENSION_URIS
from control.protocol.sdp_answer import AnswerTransport, SlotSsrc, write_answer
from control.protocol.sdp_negotiate import Features, negotiate
from tests.protocol.sdp_offers import NAMES, offer_text, without_video_slots

TRANSPORT = AnswerTransport(
    "focusufrag",
    "p" * 32,
    Fingerprint("sha-256", bytes(range(32))),
    [("192.0.2.1", 40000), ("2001:db8::1", 40001)],
)
PLAIN = Features(transport_cc_up=False, transport_cc_down=False, nack_rtx=False)


def answer_to(text: str, features: Features | None = None) -> str:
    offer = parse_offer_untrusted(text)
    streams = re.findall(r"a=msid:(\S+)", text)
    purposes = {streams[-1]: {"purpose": "m.screenshare"}} if len(set(streams)) > 1 else {}
    agreement = negotiate(offer, purposes, features or Features())
    ssrcs = {slot.mid: SlotSsrc(1000 + n, 5000 + n) for n, slot in enumerate(agreement.slots)}
    return write_answer(offer, agreement, TRANSPORT, ssrcs, "focus")


def sections(answer: str) -> list[list[str]]:
    return [part.strip().split("\r\n") for part in re.split(r"(?=m=)", answer)]


@pytest.mark.parametrize("features", [Features(), PLAIN])
@pytest.mark.parametrize("name", NAMES)
def test_it_fits_its_offer(name: str, features: Features) -> None:
    text = offer_text(name)
    offer, answer = parse_offer_untrusted(text), parse_offer_untrusted(answer_to(text, features))
    assert [(each.mid, each.media, each.protocol) for each in answer.sections] == [
        (each.mid, each.media, each.protocol) for each in offer.sections
    ]
    assert answer.bundle == offer.bundle
    opposite = {"sendonly": "recvonly", "recvonly": "sendonly"}
    for asked, told in zip(offer.sections, answer.sections, strict=True):
        if asked.media == "application":
            continue
        assert told.direction == opposite[asked.direction]
        assert set(told.formats) <= set(asked.formats)
        assert {codec.name for codec in told.codecs} <= {"opus", "vp8", "rtx"}
        offered = {codec.payload_type: codec.feedback for codec in asked.codecs}
        assert all(codec.feedback <= offered[codec.payload_type] for codec in told.codecs)
        offered_extensions = {(extension.id, extension.uri) for extension in asked.extensions}
        assert {(extension.id, extension.uri) for extension in told.extensions} <= offered_extensions
        assert told.rtcp_mux
        assert told.rtcp_rsize == asked.rtcp_rsize


@pytest.mark.parametrize("name", NAMES)
def test_aiortc_reads_it(name: str) -> None:
    from aiortc.sdp import SessionDescription

    text = offer_text(name)
    description = SessionDescription.parse(answer_to(text))
    assert [media.rtp.muxId for media in description.media] == [
        each.mid for each in parse_offer_untrusted(text).sections
    ]
    for media in description.media:
        assert media.ice.usernameFragment == "focusufrag"
        assert media.ice.iceLite
        assert media.dtls.role == "server"
        assert media.dtls.fingerprints[0].value.startswith("00:01:02:")
    first = description.media[0].ice_candidates
    assert [(each.ip, each.port, each.type, each.component) for each in first] == [
        ("192.0.2.1", 40000, "host", 1),
        ("2001:db8::1", 40001, "host", 1),
    ]
    assert first[0].priority > first[1].priority


def test_a_whole_answer() -> None:
    """Read it once with your own eyes: sender with simulcast, one slot, the data channel."""
    head, audio, camera, _, slot, *_, data = sections(answer_to(offer_text("firefox_offer")))
    assert head[2:] == [
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0 1 2 3 4 5 6 7 8 9 10",
        "a=extmap-allow-mixed",
        "a=msid-semantic:WMS *",
        "a=ice-lite",
    ]
    transport = [
        "a=ice-ufrag:focusufrag",
        f"a=ice-pwd:{'p' * 32}",
        f"a=fingerprint:sha-256 {bytes(range(32)).hex(':').upper()}",
        "a=setup:passive",
    ]
    assert audio[:2] == ["m=audio 9 UDP/TLS/RTP/SAVPF 109", "c=IN IP4 0.0.0.0"]
    assert [line.partition(":")[0] for line in audio[2:5]] == [
        "a=candidate",
        "a=candidate",
        "a=end-of-candidates",
    ]
    assert audio[5:9] == transport
    assert camera == [
        "m=video 9 UDP/TLS/RTP/SAVPF 120 124",
        "c=IN IP4 0.0.0.0",
        *transport,
        "a=mid:1",
        "a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid",
        "a=extmap:4 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
        "a=extmap:7 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
        "a=extmap:8/recvonly https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
        "a=extmap:9/recvonly urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
        "a=extmap:10/recvonly urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
        "a=recvonly",
        "a=rtcp-mux",
        "a=rtcp-rsize",
        "a=rtpmap:120 VP8/90000",
        "a=rtcp-fb:120 transport-cc",
        "a=rtcp-fb:120 goog-remb",
        "a=rtcp-fb:120 ccm fir",
        "a=rtcp-fb:120 nack pli",
        "a=rtcp-fb:120 nack",
        "a=rtpmap:124 rtx/90000",
        "a=fmtp:124 apt=120",
        "a=fmtp:120 x-google-start-bitrate=2500",
        "a=rid:t recv",
        "a=rid:m recv",
        "a=rid:f recv",
        "a=simulcast:recv t;m;f",
    ]
    assert slot[-4:] == [
        "a=msid:pair0 video0",
        "a=ssrc-group:FID 1001 5001",
        "a=ssrc:1001 cname:focus",
        "a=ssrc:5001 cname:focus",
    ]
    assert data[-3:] == ["a=mid:10", "a=sctp-port:5000", "a=max-message-size:65536"]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_served_is_declined(name: str) -> None:
    answer = answer_to(offer_text(name))
    assert not re.search(r"red/|ulpfec|H264|AV1", answer)
    assert "goog-remb" in answer
    assert "nack pli" in answer
    plain = answer_to(offer_text(name), PLAIN)
    assert not re.search(r"rtx|FID|a=rtcp-fb:\d+ nack\r\n|transport-cc|transport-wide", plain)


@pytest.mark.parametrize("name", NAMES)
def test_arrivals_are_reported_both_ways(name: str) -> None:
    """Both the extension and the feedback, or neither."""
    for asked, told in zip(
        sections(offer_text(name))[1:], sections(answer_to(offer_text(name)))[1:], strict=True
    ):
        offered, text = "\n".join(asked), "\n".join(told)
        served = "transport-wide" in offered and "transport-cc" in offered
        assert bool(re.search(r"^a=extmap:\d+\S* \S+transport-wide", text, re.MULTILINE)) == served
        assert bool(re.search(r"^a=rtcp-fb:\d+ transport-cc$", text, re.MULTILINE)) == served


@pytest.mark.parametrize("name", NAMES)
def test_video_is_repaired_and_audio_is_not(name: str) -> None:
    for lines in sections(answer_to(offer_text(name)))[1:]:
        if lines[0].startswith("m=application"):
            continue
        text = "\n".join(lines)
        video = lines[0].startswith("m=video")
        assert bool(re.search(r"^a=rtpmap:\d+ rtx/90000$", text, re.MULTILINE)) == video
        assert bool(re.search(r"^a=rtcp-fb:\d+ nack$", text, re.MULTILINE)) == video
        assert ("a=ssrc-group:FID" in text) == (video and "a=sendonly" in lines)


@pytest.mark.parametrize("name", NAMES)
def test_slots_have_their_own_ssrcs_and_their_pair_as_stream(name: str) -> None:
    answer = parse_offer_untrusted(answer_to(offer_text(name)))
    slots: list[Section] = [each for each in answer.sections if each.direction == "sendonly" and each.codecs]
    assert len({each.ssrcs for each in slots}) == len(slots)
    assert all(len(each.ssrcs) == (2 if each.kind == "video" else 1) for each in slots)
    for kind in ("audio", "video"):
        assert [each.stream_id for each in slots if each.kind == kind] == [
            f"pair{n}" for n in range(len(slots) // 2)
        ]
    allowed = {EXTENSION_URIS[name] for name in ("mid", "audio_level", "abs_send_time", "transport_cc")}
    assert {extension.uri for each in slots for extension in each.extensions} <= allowed


def test_a_loudest_slot_is_in_sync_with_nothing() -> None:
    """Firefox and Chromium make a track without a stream of it."""
    _, *told = sections(answer_to(without_video_slots(offer_text("chromium_offer"), 2)))
    streams = [line for lines in told for line in lines if line.startswith("a=msid:")]
    assert streams == [
        "a=msid:pair0 audio0", "a=msid:pair0 video0", "a=msid:pair1 audio1", "a=msid:pair1 video1",
        "a=msid:- loudest-6", "a=msid:- loudest-8",
    ]  # fmt: skip


def test_layers_that_an_inactive_section_leaves_out_are_answered_all_the_same() -> None:
    """Firefox offers them again only if it was told that they still are."""
    first = parse_offer_untrusted(offer_text("chromium_offer"))
    before = negotiate(first, {}, Features())
    text = re.sub(r"a=(rid:[tmf] send|simulcast:).*\r\n", "", offer_text("chromium_offer"))
    head, audio, camera, *rest = re.split(r"(?=^m=)", text, flags=re.MULTILINE)
    offer = parse_offer_untrusted(head + audio + camera.replace("a=sendonly", "a=inactive") + "".join(rest))
    again = negotiate(offer, {}, Features(), before)
    ssrcs = {slot.mid: SlotSsrc(n) for n, slot in enumerate(again.slots)}
    lines = write_answer(offer, again, TRANSPORT, ssrcs, "focus").split("\r\n")
    assert "a=simulcast:recv t;m;f" in lines
    assert "a=rid:f recv" in lines


def test_tmmbr_is_agreed_to_where_video_is_sent() -> None:
    text = re.sub(
        r"(a=rtcp-fb:96 ccm fir\r\n)", r"\1a=rtcp-fb:96 ccm tmmbr\r\n", offer_text("chromium_offer")
    )
    told = ["a=rtcp-fb:96 ccm tmmbr" in lines for lines in sections(answer_to(text))[1:]]
    assert told == [False, True] + [False] * 9


def test_rejected_sections_keep_their_place() -> None:
    text = offer_text("chromium_offer").replace("a=group:BUNDLE 0", "a=group:BUNDLE x 0")
    text = text.replace("m=audio", "m=text 9 UDP/TLS/RTP/SAVPF 98\r\na=mid:x\r\nSETUP\r\nm=audio", 1)
    audio = re.search(r"a=ice-ufrag.*?a=setup:actpass", text, re.DOTALL)
    assert audio is not None
    _, first, second, *_ = sections(answer_to(text.replace("SETUP", audio[0])))
    assert first == ["m=text 0 UDP/TLS/RTP/SAVPF 98", "c=IN IP4 0.0.0.0", "a=mid:x", "a=inactive"]
    assert any(line.startswith("a=candidate") for line in second)


def test_the_version_grows_and_the_session_id_stays() -> None:
    text = offer_text("chromium_offer")
    offer = parse_offer_untrusted(text)
    first = negotiate(offer, {}, Features())
    second = negotiate(offer, {}, Features(), first)
    ssrcs = {slot.mid: SlotSsrc(n) for n, slot in enumerate(first.slots)}
    lines = [
        write_answer(offer, each, TRANSPORT, ssrcs, "focus").split("\r\n")[1].split()
        for each in (first, second)
    ]
    assert lines[0][1] == lines[1][1]
    assert (int(lines[0][2]), int(lines[1][2])) == (1, 2)
