"""What the supervisor hands down to its children: open descriptors, and JSON that explains them."""

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


@dataclass(frozen=True, slots=True)
class Handover:
    """The supervisor's process id, and the workers this process is to know."""

    supervisor: int
    workers: tuple[WorkerHandover, ...]
    config: str = ""
    """For control: Config.to_json()."""

    @property
    def fds(self) -> tuple[int, ...]:
        """Descriptors to pass on."""
        own = [(w.config_fd, w.state_fd, w.uplink_fd, *(s.fd for s in w.sockets)) for w in self.workers]
        return tuple(fd for fds in own for fd in fds if fd >= 0)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        values: dict[str, Any] = json.loads(text)
        workers = tuple(
            WorkerHandover(**{**worker, "sockets": tuple(MediaSocket(**s) for s in worker["sockets"])})
            for worker in values.pop("workers")
        )
        return cls(workers=workers, **values)

    @classmethod
    def receive(cls, environment: MutableMapping[str, str] = os.environ) -> Self:
        """Takes it out of the environment; HandoverError if there is none."""
        try:
            return cls.from_json(environment.pop(VARIABLE))
        except (AttributeError, KeyError, TypeError, ValueError):
            raise HandoverError(f"no usable {VARIABLE}: this process is started by `sotto serve`") from None
