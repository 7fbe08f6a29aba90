"""What an offer is made of, as values, and the one way in which reading or agreeing to it fails."""

import re
from dataclasses import dataclass
from typing import Final

_DIGITS: Final = re.compile(r"[0-9]{1,10}", re.ASCII)


class SdpError(Exception):
    """The one way in which anything about an offer fails. The message is a sentence for a person."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code  # "sdp_malformed", "sdp_unsupported" or "too_large"
        self.message = message


def malformed(message: str) -> SdpError:
    return SdpError("sdp_malformed", message)


def unsupported(message: str) -> SdpError:
    return SdpError("sdp_unsupported", message)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Digest of a DTLS certificate (RFC 8122)."""

    algorithm: str  # lower case, "sha-256"
    digest: bytes


@dataclass(frozen=True, slots=True)
class Codec:
    """One payload type of one section."""

    payload_type: int
    name: str  # lower case: "opus", "vp8", "rtx"
    clock_rate: int  # Hz
    parameters: str  # of a=fmtp, as written
    feedback: frozenset[str]  # of a=rtcp-fb: "nack pli", "ccm fir", "transport-cc"

    @property
    def repairs(self) -> int | None:
        """The payload type this RTX repairs (RFC 4588 `apt`)."""
        for parameter in self.parameters.split(";"):
            name, _, value = parameter.strip().partition("=")
            if name == "apt" and _DIGITS.fullmatch(value):
                return int(value)
        return None


@dataclass(frozen=True, slots=True)
class HeaderExtension:
    """One a=extmap (RFC 8285)."""

    id: int  # 1..14 or 16..255
    uri: str
    direction: str  # as the offerer sees it


@dataclass(frozen=True, slots=True)
class Section:
    """One m= line and what belongs to it, inherited session attributes resolved."""

    index: int
    media: str  # the word after "m="
    protocol: str
    formats: tuple[str, ...]
    closed: bool  # port 0 and not bundle-only: must be answered with port 0
    mid: str = ""  # empty only when closed
    direction: str = "sendrecv"
    stream_id: str | None = None  # MediaStream of the first a=msid; None for "-"
    track_id: str | None = None
    msids: int = 0  # different MediaStream tracks named by a=ssrc lines; more than one is plan B
    rids: tuple[str, ...] = ()  # those it sends, in the order of a=simulcast
    simulcast: bool = False
    codecs: tuple[Codec, ...] = ()  # in the order of the m= line
    extensions: tuple[HeaderExtension, ...] = ()
    ssrcs: tuple[int, ...] = ()
    repairs: tuple[tuple[int, int], ...] = ()  # SSRC and that of its RTX, from a=ssrc-group:FID (RFC 5576)
    ice_ufrag: str | None = None
    ice_pwd: str | None = None
    fingerprints: tuple[Fingerprint, ...] = ()
    setup: str | None = None
    rtcp_mux: bool = False
    rtcp_rsize: bool = False
    crypto: bool = False  # has a=crypto (SDES)
    candidates: int = 0
    sctp_port: int | None = None
    max_message_size: int | None = None
    sealed: str | None = None  # "send" or "recv": sealed RTP, and which way

    @property
    def kind(self) -> str:
        """ "audio", "video", "application" or "other"."""
        return self.media if self.media in ("audio", "video", "application") else "other"


@dataclass(frozen=True, slots=True)
class Offer:
    """A whole offer. The transport's values are those of the section that carries the BUNDLE group."""

    sections: tuple[Section, ...]
    bundle: tuple[str, ...]  # mids of the one group
    ice_ufrag: str
    ice_pwd: str
    fingerprints: tuple[Fingerprint, ...]
    setup: str
    extmap_allow_mixed: bool
