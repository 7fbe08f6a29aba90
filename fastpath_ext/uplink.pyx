"""Messages between a worker and control, as fastpath/uplink.h lays them out."""

from enum import IntEnum

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

from fastpath_ext cimport c

from fastpath_ext.values import SendOrder, UplinkMessage

cdef extern from "fastpath/clamp.h" nogil:
    struct clamp_order:
        uint32_t bps
        uint16_t scale_percent
        uint8_t framerate, active


class Kind(IntEnum):
    DTLS = c.UPLINK_DTLS
    CONNECTED = c.UPLINK_CONNECTED
    PATH_CHANGED = c.UPLINK_PATH_CHANGED
    CONSENT_EXPIRED = c.UPLINK_CONSENT_EXPIRED
    SOURCE_LIVE = c.UPLINK_SOURCE_LIVE
    SINK_SWITCHED = c.UPLINK_SINK_SWITCHED
    READY = c.UPLINK_READY
    SEND_TARGET = c.UPLINK_SEND_TARGET
    SPEAKING = c.UPLINK_SPEAKING
    DOMINANT = c.UPLINK_DOMINANT
    SINK_DEAL = c.UPLINK_SINK_DEAL
    VIEWERS = c.UPLINK_VIEWERS
    INNER_INDEX = c.UPLINK_INNER_INDEX
    DOWN_DTLS = c.DOWNLINK_DTLS
    DOWN_WAKE = c.DOWNLINK_WAKE
    DOWN_STOP = c.DOWNLINK_STOP


MAX_PAYLOAD = c.LIMIT_UPLINK_PAYLOAD
MAX_MESSAGE = c.LIMIT_UPLINK_PAYLOAD + sizeof(c.uplink_head)


class UplinkError(ValueError):
    """Not a message of the uplink."""


def encode(kind, transport=0, incarnation=0, payload=b"", *, a=0, b=0, time_ns=0):
    cdef c.uplink_head head
    if len(payload) > MAX_PAYLOAD:
        raise UplinkError(f"a payload of {len(payload)} bytes, at most {MAX_PAYLOAD} fit")
    memset(&head, 0, sizeof(head))
    head.kind = kind
    head.transport = transport
    head.incarnation = incarnation
    head.length = <uint32_t>len(payload)
    head.a = a
    head.b = b
    head.time_ns = time_ns
    return (<char *>&head)[:sizeof(head)] + payload


def decode(bytes message):
    cdef c.uplink_head head
    cdef const char *start = message
    cdef size_t length = <size_t>len(message)
    if length < sizeof(head):
        raise UplinkError(f"a message of {length} bytes is shorter than its head")
    memcpy(&head, start, sizeof(head))
    if head.length != length - sizeof(head) or head.length > c.LIMIT_UPLINK_PAYLOAD:
        raise UplinkError(f"a message of {length} bytes announces a payload of {head.length}")
    return UplinkMessage(
        head.kind, head.transport, head.incarnation, head.a, head.b, head.time_ns, message[sizeof(head):])


def decode_order(bytes payload):
    cdef clamp_order order
    if <size_t>len(payload) != sizeof(order):
        raise UplinkError(f"an order of {len(payload)} bytes, {sizeof(order)} are needed")
    memcpy(&order, <const char *>payload, sizeof(order))
    return SendOrder(bool(order.active), order.bps, order.scale_percent, order.framerate)


def encode_order(order):
    cdef clamp_order raw
    memset(&raw, 0, sizeof(raw))
    raw.active = order.active
    raw.bps = order.bps
    raw.scale_percent = order.scale_percent
    raw.framerate = order.framerate
    return (<char *>&raw)[:sizeof(raw)]
