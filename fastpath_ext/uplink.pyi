from enum import IntEnum
from typing import Final

from fastpath_ext.values import SendOrder, UplinkMessage

class Kind(IntEnum):
    """Kinds of fastpath/uplink.h; those that go down to a worker begin with DOWN."""

    DTLS = 1
    CONNECTED = 2
    PATH_CHANGED = 3
    CONSENT_EXPIRED = 4
    SOURCE_LIVE = 5
    SINK_SWITCHED = 6
    READY = 7
    SEND_TARGET = 8
    SPEAKING = 9
    DOMINANT = 10
    SINK_DEAL = 11
    VIEWERS = 12
    INNER_INDEX = 13
    DOWN_DTLS = 64
    DOWN_WAKE = 65
    DOWN_STOP = 66

MAX_PAYLOAD: Final[int]
MAX_MESSAGE: Final[int]

class UplinkError(ValueError):
    """Not a message of the uplink."""

def encode(
    kind: int,
    transport: int = 0,
    incarnation: int = 0,
    payload: bytes = b"",
    *,
    a: int = 0,
    b: int = 0,
    time_ns: int = 0,
) -> bytes:
    """One message. UplinkError if the payload is longer than MAX_PAYLOAD."""

def decode(message: bytes) -> UplinkMessage:
    """UplinkError if the lengths do not agree; messages of unknown kinds are the caller's to ignore."""

def decode_order(payload: bytes) -> SendOrder:
    """The payload of SEND_TARGET; UplinkError if it has another length."""

def encode_order(order: SendOrder) -> bytes:
    """The same the other way round, for tests."""
