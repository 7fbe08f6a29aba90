"""What a worker says, as events of the core. Decides nothing."""

import sys
from collections.abc import Callable, Mapping
from typing import Final

from control.protocol.events import (
    ConsentExpired,
    Dominant,
    Event,
    InnerIndex,
    SendTarget,
    SinkDeal,
    SinkSwitched,
    SourceLive,
    Speaking,
    TransportConnected,
    TransportId,
    ViewersLose,
    WorkerStarted,
)
from fastpath_ext.table import NONE
from fastpath_ext.uplink import Kind, UplinkError, decode_order
from fastpath_ext.values import UplinkMessage

_PAUSED: Final = 0xFF


def event_of(worker: int, message: UplinkMessage) -> Event | None:
    """None for what is no event of the core, or of a later version; UplinkError if it is malformed."""
    make = _EVENTS.get(message.kind)
    return (
        None if make is None else make(TransportId(worker, message.transport, message.incarnation), message)
    )


def _send_target(transport: TransportId, message: UplinkMessage) -> Event:
    order = decode_order(message.payload)
    return SendTarget(
        transport, message.a, message.b, order.active, order.bps, order.scale_percent, order.framerate
    )


def _sink_deal(transport: TransportId, message: UplinkMessage) -> Event:
    encoding, temporal = message.b & 0xFF, message.b >> 8 & 0xFF
    return SinkDeal(transport, message.a, None if encoding == _PAUSED else encoding, temporal)


def _sink_switched(transport: TransportId, message: UplinkMessage) -> Event:
    return SinkSwitched(transport, message.a, None if message.b == NONE else message.b)


def _viewers(transport: TransportId, message: UplinkMessage) -> Event:
    viewers, worst, mean = message.b >> 16, message.b >> 8 & 0xFF, message.b & 0xFF
    return ViewersLose(transport, message.a, viewers, worst, mean)


def _inner_index(transport: TransportId, message: UplinkMessage) -> Event:
    if len(message.payload) != 8:
        raise UplinkError("an inner index has 8 bytes")
    return InnerIndex(transport, message.a, message.b, int.from_bytes(message.payload, sys.byteorder))


_EVENTS: Final[Mapping[int, Callable[[TransportId, UplinkMessage], Event]]] = {
    Kind.READY: lambda transport, _: WorkerStarted(transport.worker),
    Kind.CONNECTED: lambda transport, _: TransportConnected(transport),
    Kind.CONSENT_EXPIRED: lambda transport, _: ConsentExpired(transport),
    Kind.SOURCE_LIVE: lambda transport, message: SourceLive(transport, message.a, message.b),
    Kind.SINK_SWITCHED: _sink_switched,
    Kind.SEND_TARGET: _send_target,
    Kind.SPEAKING: lambda transport, message: Speaking(transport, message.a, bool(message.b)),
    Kind.DOMINANT: lambda transport, message: Dominant(transport, message.a),
    Kind.SINK_DEAL: _sink_deal,
    Kind.VIEWERS: _viewers,
    Kind.INNER_INDEX: _inner_index,
}
