from typing import final

from fastpath_ext.values import StunRequest

class CryptoError(ValueError):
    """A packet was refused; `errno` says why, as in srtp.h and stun.h."""

    errno: int
    def __init__(self, number: int) -> None: ...

def crypto_choose(name: str = "auto") -> str:
    """Choose the backend of contexts made from now on in this module: "auto", "openssl" or "ipsec-mb".

    Returns its name and version. CryptoError (ENOTSUP) if it is not there; the older choice then stays.
    """

@final
class SrtpContext:
    """One direction's keys and both kinds of state, for a profile of RFC 5764 / RFC 7714 (1, 7 or 8)."""

    def __new__(cls, profile: int, key: bytes, salt: bytes) -> SrtpContext: ...
    def protect(self, packet: bytes, index: int, header_length: int = 12) -> bytes:
        """RTP to SRTP under a 48-bit index, whose low 16 bits are the packet's sequence number."""

    def unprotect(self, packet: bytes, header_length: int = 12) -> tuple[bytes, int]:
        """SRTP to RTP and the packet's index. CryptoError: EBADMSG, EALREADY, EINVAL or ENOSPC."""

    def protect_rtcp(self, packet: bytes) -> bytes:
        """RTCP to SRTCP, under indices that count from 0."""

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        """SRTCP to RTCP. Errors as unprotect."""

    def highest(self, ssrc: int) -> int | None:
        """The greatest authenticated index of an SSRC."""

def stun_parse(message: bytes) -> StunRequest:
    """What a Binding request says, authenticated by nobody. CryptoError (EINVAL) for anything else."""

def stun_respond(
    message: bytes, local_ufrag: str, local_pwd: str, remote_ufrag: str, address: str, port: int
) -> bytes:
    """The response to an authentic request. CryptoError: EINVAL, ENOENT (user name), EACCES (password)."""

def make_ufrag(handle: int, random_tail: str) -> str:
    """A local user fragment that names a transport's handle (below 2^20); at most 12 letters follow."""

def ufrag_handle(ufrag: str) -> int | None:
    """The handle that make_ufrag put in, None if it is not one of ours."""
