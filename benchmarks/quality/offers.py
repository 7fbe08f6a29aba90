"""The offer of a synthetic member: what a browser offers that matters here, and no more."""

from __future__ import annotations

from benchmarks.quality.rtp import LEVEL, MID, REPAIRED_RID, RID, TRANSPORT_CC
from control.protocol.sdp import Fingerprint

_URI = "urn:ietf:params:rtp-hdrext:"
_TRANSPORT_CC_URI = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
AUDIO_TYPE, VIDEO_TYPE, RTX_TYPE = 111, 96, 97


def offer(
    fingerprint: Fingerprint,
    *,
    sends: bool,
    pairs: int = 4,
    transport_cc: bool = True,
    rids: tuple[str, ...] = ("t", "m", "f"),
) -> str:
    """Mids: "audio" and "camera" for what it sends, "data", a0, v0, a1, ... for its slots.

    `transport_cc`: of its slots; what it sends never has it (a synthetic sender estimates nothing).
    """
    sections: list[tuple[str, list[str]]] = []
    if sends:
        sections.append(("audio", [*_audio("audio", False), "a=sendonly", "a=msid:userstream audio"]))
        simulcast = [f"a=rid:{rid} send" for rid in rids] + [f"a=simulcast:send {';'.join(rids)}"]
        camera = [*_video("camera", False), "a=sendonly", "a=msid:userstream camera", *simulcast]
        sections.append(("camera", camera))
    sections.append(
        ("data", ["m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=mid:data", "a=sctp-port:5000"])
    )
    for pair in range(pairs):
        sections.append((f"a{pair}", [*_audio(f"a{pair}", transport_cc), "a=recvonly"]))
        sections.append((f"v{pair}", [*_video(f"v{pair}", transport_cc), "a=recvonly"]))
    lines = ["v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0"]
    lines.append("a=group:BUNDLE " + " ".join(mid for mid, _ in sections))
    for _, section in sections:
        lines += [section[0], "c=IN IP4 0.0.0.0", *section[1:], "a=ice-ufrag:uFrg"]
        lines += ["a=ice-pwd:abcdefghijklmnopqrstuv", "a=setup:actpass"]
        lines += [f"a=fingerprint:sha-256 {fingerprint.digest.hex(':').upper()}"]
    return "\r\n".join(lines) + "\r\n"


def _audio(mid: str, transport_cc: bool) -> list[str]:
    return [
        f"m=audio 9 UDP/TLS/RTP/SAVPF {AUDIO_TYPE}",
        f"a=mid:{mid}",
        "a=rtcp-mux",
        f"a=rtpmap:{AUDIO_TYPE} opus/48000/2",
        f"a=extmap:{LEVEL} {_URI}ssrc-audio-level",
        f"a=extmap:{MID} {_URI}sdes:mid",
        *_numbered(AUDIO_TYPE, transport_cc),
    ]


def _video(mid: str, transport_cc: bool) -> list[str]:
    return [
        f"m=video 9 UDP/TLS/RTP/SAVPF {VIDEO_TYPE} {RTX_TYPE}",
        f"a=mid:{mid}",
        "a=rtcp-mux",
        f"a=rtpmap:{VIDEO_TYPE} VP8/90000",
        f"a=rtpmap:{RTX_TYPE} rtx/90000",
        f"a=fmtp:{RTX_TYPE} apt={VIDEO_TYPE}",
        *(f"a=rtcp-fb:{VIDEO_TYPE} {one}" for one in ("goog-remb", "ccm fir", "nack", "nack pli")),
        f"a=extmap:{MID} {_URI}sdes:mid",
        f"a=extmap:{RID} {_URI}sdes:rtp-stream-id",
        f"a=extmap:{REPAIRED_RID} {_URI}sdes:repaired-rtp-stream-id",
        *_numbered(VIDEO_TYPE, transport_cc),
    ]


def _numbered(payload_type: int, transport_cc: bool) -> list[str]:
    if not transport_cc:
        return []
    return [f"a=rtcp-fb:{payload_type} transport-cc", f"a=extmap:{TRANSPORT_CC} {_TRANSPORT_CC_URI}"]
