"""Which SCTP packets (RFC 9260) may be shown to the SCTP library.

aiortc's parser trusts lengths inside chunks: a parameter of length 0 makes it loop for ever, gap blocks may
span millions of numbers, any stream number gets memory. A packet is checked here first; one that fails is
dropped whole.
"""

from typing import Final

from control.protocol import limits

_COMMON_HEADER: Final = 12
_DATA, _INIT, _INIT_ACK, _SACK, _SHUTDOWN, _FORWARD_TSN = 0, 1, 2, 3, 7, 192
# HEARTBEAT, HEARTBEAT ACK, ABORT, ERROR and RE-CONFIG are a list of parameters and nothing else.
_PARAMETERS_ONLY: Final = frozenset({4, 5, 6, 9, 130})
# More chunks than fit a datagram of a browser (a SACK and a few DATA).
_MAX_CHUNKS: Final = 64


def is_sound_untrusted(packet: bytes) -> bool:
    """Whether every length and number in the packet is one that costs a bounded amount. Never raises."""
    if not _COMMON_HEADER + 4 <= len(packet) <= limits.DTLS_MAX_DATAGRAM:
        return False
    start = _COMMON_HEADER
    types: list[int] = []
    while start < len(packet):
        if len(packet) - start < 4:
            return False
        length = int.from_bytes(packet[start + 2 : start + 4], "big")
        if length < 4 or start + length > len(packet) or len(types) == _MAX_CHUNKS:
            return False
        types.append(packet[start])
        if not _chunk(packet[start], packet[start + 4 : start + length]):
            return False
        start += length + -length % 4
    # RFC 9260 section 6.10: INIT and INIT ACK travel alone.
    return len(types) == 1 or not {_INIT, _INIT_ACK} & set(types)


def _chunk(kind: int, body: bytes) -> bool:
    if kind == _DATA:
        return len(body) >= 13 and _stream(body[4:6])
    if kind in (_INIT, _INIT_ACK):
        return len(body) >= 16 and _parameters(body[16:])
    if kind in _PARAMETERS_ONLY:
        return _parameters(body)
    if kind == _SACK:
        return _sack(body)
    if kind == _SHUTDOWN:
        return len(body) == 4
    if kind == _FORWARD_TSN:
        streams = range(4, len(body), 4)
        return len(body) >= 4 and len(body) % 4 == 0 and all(_stream(body[at : at + 2]) for at in streams)
    return True


def _stream(number: bytes) -> bool:
    return int.from_bytes(number, "big") < limits.SCTP_MAX_STREAMS


def _parameters(body: bytes) -> bool:
    start = 0
    while len(body) - start >= 4:
        length = int.from_bytes(body[start + 2 : start + 4], "big")
        if length < 4 or start + length > len(body):
            return False
        start += length + -length % 4
    return start >= len(body)


def _sack(body: bytes) -> bool:
    """Gap blocks ascend (RFC 9260 section 3.3.4), so all of them together span at most 65,535 numbers."""
    if len(body) < 12:
        return False
    gaps, duplicates = int.from_bytes(body[8:10], "big"), int.from_bytes(body[10:12], "big")
    if len(body) != 12 + 4 * (gaps + duplicates):
        return False
    end = 0
    for at in range(12, 12 + 4 * gaps, 4):
        first, last = int.from_bytes(body[at : at + 2], "big"), int.from_bytes(body[at + 2 : at + 4], "big")
        if not end < first <= last:
            return False
        end = last
    return True
