"""Records of DTLS in datagrams (RFC 6347 4.1): what of a datagram is useful, and how ours are packed."""

from collections.abc import Iterator
from typing import Final

from control.protocol import limits

RECORD_HEADER: Final = 13  # type 1, version 2, epoch 2, sequence 6, length 2
_ALERT: Final = 21
_APPLICATION_DATA: Final = 23


def records_untrusted(datagram: bytes) -> Iterator[bytes]:
    """The whole records at the beginning of a datagram."""
    start = 0
    while len(datagram) - start >= RECORD_HEADER:
        end = start + RECORD_HEADER + int.from_bytes(datagram[start + 11 : start + 13], "big")
        if end > len(datagram):
            return
        yield datagram[start:end]
        start = end


def useful_records_untrusted(datagram: bytes) -> Iterator[bytes]:
    """What of a datagram OpenSSL may see: whole records, and no alerts that anybody could have written."""
    if len(datagram) > limits.DTLS_MAX_DATAGRAM:
        return
    for record in records_untrusted(datagram):
        if 20 <= record[0] <= 63 and not (record[0] == _ALERT and record[3:5] == b"\0\0"):
            yield record


def is_application_data(datagram: bytes) -> bool:
    """One whole record of application data, encrypted, and nothing else: what nearly all datagrams are."""
    return (
        len(datagram) > RECORD_HEADER
        and datagram[0] == _APPLICATION_DATA
        and datagram[3:5] != b"\0\0"
        and RECORD_HEADER + int.from_bytes(datagram[11:13], "big") == len(datagram)
    )


def pack_datagrams(made: bytes) -> list[bytes]:
    """Pack our own records, in order, into datagrams of at most DTLS_FLIGHT_MTU bytes (or one record)."""
    datagrams: list[bytes] = []
    for record in records_untrusted(made):
        if datagrams and len(datagrams[-1]) + len(record) <= limits.DTLS_FLIGHT_MTU:
            datagrams[-1] += record
        else:
            datagrams.append(record)
    return datagrams
