"""What happens to the conference core and what it wants done: every event in, every effect out.

Values only. control.io.conferences turns the world into events and performs effects;
control.protocol.focus is in between.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from control.protocol.rows import HopKeys, SinkRow, SourceRow, TransportRow
from control.protocol.sdp import Fingerprint

JsonObject = dict[str, Any]


class TransportId(NamedTuple):
    """One member's connection on one worker; never used twice. A tuple, as it is made and looked up for every
    datagram."""

    worker: int
    handle: int
    incarnation: int


# -- events: what happens --


@dataclass(frozen=True, slots=True)
class MatrixCallEvent:
    """An m.call.* event of a direct-message room. Nothing of `content` has been checked."""

    room_id: str
    sender: str  # as the homeserver says, or who encrypted it
    type: str
    content: Mapping[str, Any] = field(repr=False)
    age_ms: int  # since it was sent, as the homeserver reckons
    encrypted: bool
    wall_ms: int = 0  # Unix time of its arrival here; the runtime fills it in


@dataclass(frozen=True, slots=True)
class BotLimited:
    """The homeserver made the bot wait with a message: its limit was not lifted."""


@dataclass(frozen=True, slots=True)
class TransportConnected:
    """The first authenticated connectivity check arrived."""

    transport: TransportId


@dataclass(frozen=True, slots=True)
class ConsentExpired:
    """No authenticated check for 30 s."""

    transport: TransportId


@dataclass(frozen=True, slots=True)
class HandshakeDone:
    """DTLS: the peer's certificate is the one of its offer, and these are the hop's keys."""

    transport: TransportId
    keys: HopKeys


@dataclass(frozen=True, slots=True)
class DtlsFailed:
    """DTLS cannot be set up; `code` is for a counter."""

    transport: TransportId
    code: str


@dataclass(frozen=True, slots=True)
class PeerClosed:
    """The peer closed its whole connection in order (DTLS close_notify)."""

    transport: TransportId


@dataclass(frozen=True, slots=True)
class ChannelOpened:
    """The data channel of docs/protocol.md section 4 is open, perhaps again."""

    transport: TransportId


@dataclass(frozen=True, slots=True)
class ChannelMessage:
    """One text message. Nothing of it has been checked."""

    transport: TransportId
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ChannelClosed:
    """No messages any more; media may go on."""

    transport: TransportId


@dataclass(frozen=True, slots=True)
class SourceLive:
    """The first packet of an encoding arrived."""

    transport: TransportId
    source: int  # handle
    encoding: int


@dataclass(frozen=True, slots=True)
class SinkSwitched:
    """A slot now carries another source or encoding."""

    transport: TransportId
    sink: int  # handle
    source: int | None  # handle


@dataclass(frozen=True, slots=True)
class SendTarget:
    """How an encoding of a sender should be sent from now on."""

    transport: TransportId
    source: int  # handle
    encoding: int
    active: bool
    bps: int
    scale_percent: int
    framerate: int  # 0 = as it likes


@dataclass(frozen=True, slots=True)
class Speaking:
    """Somebody began to speak, or fell silent."""

    transport: TransportId
    source: int  # handle
    begins: bool


@dataclass(frozen=True, slots=True)
class Dominant:
    """Somebody has the floor of its conference now."""

    transport: TransportId
    source: int  # handle


@dataclass(frozen=True, slots=True)
class SinkDeal:
    """What a slot gets within its receiver's estimate."""

    transport: TransportId
    sink: int  # handle
    encoding: int | None  # None = paused
    temporal: int


@dataclass(frozen=True, slots=True)
class ViewersLose:
    """What the viewers of a source lose on their way, in parts of 256."""

    transport: TransportId
    source: int  # handle
    viewers: int
    worst: int
    mean: int


@dataclass(frozen=True, slots=True)
class InnerIndex:
    """Where an encoding of a sealed source stands: rollover counter << 16 | sequence number."""

    transport: TransportId
    source: int  # handle
    encoding: int
    index: int


MediaEvent = (
    InnerIndex | SourceLive | SinkSwitched | SendTarget | Speaking | Dominant | SinkDeal | ViewersLose
)


@dataclass(frozen=True, slots=True)
class WorkerStarted:
    """A worker, the first or the next one on its table, runs."""

    worker: int


@dataclass(frozen=True, slots=True)
class WorkerBusy:
    """The part of its time that a worker worked, over about a second."""

    worker: int
    busy: float
    late: float = 0.0  # the part of its packets that waited for it for more than 50 ms


@dataclass(frozen=True, slots=True)
class SuppliesLeft:
    """What the machine has left for this process."""

    descriptors: int | None
    memory_bytes: int | None
    disk_bytes: int | None


@dataclass(frozen=True, slots=True)
class AnswerDelivered:
    """The homeserver took the answer to an invite: whoever follows this process must not answer it again."""

    room_id: str
    call_id: str


@dataclass(frozen=True, slots=True)
class RowsFreed:
    """Rows of members of a former control process are no longer in the table."""

    worker: int
    transports: frozenset[int]
    sources: frozenset[int]
    sinks: frozenset[int]


@dataclass(frozen=True, slots=True)
class Shutdown:
    """This process stops. Silent: members keep their media; otherwise everybody is told to leave.

    Resume: their channels are closed, so that they bring second connections to whoever follows at once.
    """

    silent: bool
    resume: bool = False


Event = (
    MatrixCallEvent
    | BotLimited
    | TransportConnected
    | ConsentExpired
    | HandshakeDone
    | DtlsFailed
    | PeerClosed
    | ChannelOpened
    | ChannelMessage
    | ChannelClosed
    | MediaEvent
    | WorkerStarted
    | RowsFreed
    | AnswerDelivered
    | WorkerBusy
    | SuppliesLeft
    | Shutdown
)


# -- effects: what is to be done --


@dataclass(frozen=True, slots=True)
class SendMatrix:
    """Send an event into a direct-message room."""

    room_id: str
    type: str
    content: JsonObject = field(repr=False)


@dataclass(frozen=True, slots=True)
class OpenTransport:
    """Be ready for DTLS and data channels of a new transport."""

    transport: TransportId
    fingerprints: tuple[Fingerprint, ...]  # one of these must be the peer's certificate
    sctp_port: int  # the peer's
    max_message_size: int  # bytes the peer takes at most, 0 = any


@dataclass(frozen=True, slots=True)
class CloseTransport:
    """Forget DTLS and data channels of a transport; silent: without telling the peer."""

    transport: TransportId
    silent: bool


@dataclass(frozen=True, slots=True)
class CloseChannel:
    """Close our data channel of a transport and nothing else: the member brings a second connection."""

    transport: TransportId


@dataclass(frozen=True, slots=True)
class SendChannel:
    """Send one message over the data channel."""

    transport: TransportId
    type: str
    content: JsonObject = field(repr=False)


@dataclass(frozen=True, slots=True)
class PublishRoutes:
    """Change rows of one worker's table, all at once."""

    worker: int
    transports: Mapping[int, TransportRow] = field(repr=False)  # by handle; new or changed
    sources: Mapping[int, SourceRow] = field(repr=False)
    sinks: Mapping[int, SinkRow] = field(repr=False)
    gone_transports: frozenset[int] = frozenset()
    gone_sources: frozenset[int] = frozenset()
    gone_sinks: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class CountMetric:
    """Something happened that is counted; `label` is of a small fixed set, never what somebody sent."""

    name: str
    label: str = ""


Effect = (
    SendMatrix | OpenTransport | CloseTransport | CloseChannel | SendChannel | PublishRoutes | CountMetric
)
