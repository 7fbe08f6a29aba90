"""What the supervisor hands down to its children and its successor: descriptors, and JSON about them."""

import json
import os
from collections.abc import MutableMapping
from dataclasses import asdict, dataclass
from typing import Any, Self

VARIABLE = "SOTTO_HANDOVER"
EXIT_HOPELESS = 78
"""EX_CONFIG of sysexits.h: control ends so when starting again cannot help, and everything ends with it."""


class HandoverError(Exception):
    """This process was not started by the supervisor."""


@dataclass(frozen=True, slots=True)
class MediaSocket:
    """One bound UDP socket of a worker."""

    fd: int
    host: str
    """As bound: "::" is every address, IPv4 too; "0.0.0.0" every IPv4 address."""
    port: int


@dataclass(frozen=True, slots=True)
class WorkerHandover:
    """What belongs to one worker. A worker is given its own, control all of them."""

    index: int
    cpu: int
    """The core it is pinned to."""
    config_fd: int
    state_fd: int
    uplink_fd: int
    """The receiver's own end of the SOCK_SEQPACKET pair."""
    sockets: tuple[MediaSocket, ...]
    """Control sees where they are bound, but has no descriptor: fd is -1."""
    peer_fd: int = -1
    """Control's end of the pair, for a worker that keeps it for the next supervisor; -1 for control."""
    memory_fd: int = -1
    """What control notes of its conferences for the next control; a worker only keeps it. -1: nothing."""
    rings_fd: int = -1
    """What the workers hand over to each other (fastpath/handover_ring.h); -1: this one is alone, or the
    receiver is control."""
    wake_fds: tuple[int, ...] = ()
    """eventfds by worker: whom to wake when something was put into the rings."""
    joined: bool = False
    """Are there rings? So may one conference be on several workers."""

    @property
    def fds(self) -> tuple[int, ...]:
        """Its descriptors, in a fixed order."""
        own = self.config_fd, self.state_fd, self.uplink_fd, self.peer_fd, self.memory_fd, self.rings_fd
        every = (*own, *self.wake_fds, *(s.fd for s in self.sockets))
        return tuple(fd for fd in every if fd >= 0)

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> Self:
        sockets = tuple(MediaSocket(**one) for one in values["sockets"])
        return cls(**{**values, "sockets": sockets, "wake_fds": tuple(values.get("wake_fds", ()))})


@dataclass(frozen=True, slots=True)
class Handover:
    """The supervisor's process id, and the workers this process is to know."""

    supervisor: int
    workers: tuple[WorkerHandover, ...]
    config: str = ""
    """For control: Config.to_json()."""
    run_dir: str = ""
    """Where the processes find each other: locks and Unix sockets. Empty: nowhere, in tests."""
    predecessor_fd: int = -1
    """pidfd of the worker this one stands by for: it begins when that one has ended. -1: at once."""
    orphan_s: float = 60.0
    """Without a supervisor and without a member on the line the processes end after this."""
    hold_us: int | None = None
    """[media].hold_us, for workers; None: as the worker does it by itself."""
    busy_poll_us: int = 0
    """[media].busy_poll_us, for workers."""
    packet_fd: int = -1
    """A packet socket that all workers send by; -1: none."""
    former_fds: tuple[int, ...] = ()
    """For control: what was noted by that of a server with other tables, which goes on until its members have
    come over (moving.py)."""

    @property
    def fds(self) -> tuple[int, ...]:
        """Descriptors to pass on."""
        own = tuple(fd for worker in self.workers for fd in worker.fds)
        return (*own, *self.former_fds, *(fd for fd in (self.predecessor_fd, self.packet_fd) if fd >= 0))

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        values: dict[str, Any] = json.loads(text)
        workers = tuple(WorkerHandover.from_values(worker) for worker in values.pop("workers"))
        return cls(workers=workers, **{**values, "former_fds": tuple(values.get("former_fds", ()))})

    @classmethod
    def receive(cls, environment: MutableMapping[str, str] = os.environ) -> Self:
        """Takes it out of the environment; HandoverError if there is none."""
        try:
            return cls.from_json(environment.pop(VARIABLE))
        except (AttributeError, KeyError, TypeError, ValueError):
            raise HandoverError(f"no usable {VARIABLE}: this process is started by `sotto serve`") from None


@dataclass(frozen=True, slots=True)
class Estate:
    """One worker as a supervisor leaves it to the next: its descriptors and the processes that use them."""

    worker: WorkerHandover
    """As given to the worker's own process: uplink_fd is the worker's end, peer_fd control's."""
    active: int
    """Process id, 0 = none."""
    standby: int = 0

    def to_values(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_values(cls, values: dict[str, Any], fds: tuple[int, ...] | None = None) -> Self:
        """With other descriptors, if they came over a socket. ValueError, KeyError, TypeError."""
        worker = WorkerHandover.from_values(values["worker"])
        if fds is not None:
            config, state, uplink, peer, *others = fds
            memory = others.pop(0) if worker.memory_fd >= 0 else -1
            rings = others.pop(0) if worker.rings_fd >= 0 else -1
            wakes = tuple(others.pop(0) for _ in worker.wake_fds)
            renumbered = tuple(
                MediaSocket(fd, one.host, one.port) for fd, one in zip(others, worker.sockets, strict=True)
            )
            worker = WorkerHandover(
                worker.index,
                worker.cpu,
                config,
                state,
                uplink,
                renumbered,
                peer,
                memory,
                rings,
                wakes,
                worker.joined,
            )
        return cls(worker, int(values["active"]), int(values["standby"]))
