from collections.abc import Sequence
from typing import Final

from typing_extensions import disjoint_base

BACKENDS: Final[dict[str | None, int]]

@disjoint_base
class Forwarder:
    """The core without its sockets, for tests and simulations: time is an argument, datagrams are bytes.

    The descriptors are those of `Table.fds`; segments of another layout are LayoutError. There may be one
    Forwarder or Worker on them at a time.
    """

    def __init__(
        self, config_fd: int, state_fd: int, *, backend: str | None = None, seed: int | None = None
    ) -> None: ...
    @property
    def crypto(self) -> str:
        """The crypto backend in use, with its version."""
    def adopt(self, now_ns: int) -> bool:
        """Takes over a newer generation of the configuration; True if there was one."""
    def forward(self, data: bytes, address: tuple[str, int], now_ns: int) -> None:
        """A datagram from this address. `now_ns` is CLOCK_MONOTONIC and never goes back."""
    def tick(self, now_ns: int) -> None: ...
    def sleep_ns(self, now_ns: int) -> int: ...
    def downlink(self, message: bytes, now_ns: int) -> int:
        """A message of control: 1 = it must stop, 2 = it must adopt, 0 otherwise."""
    def take(self) -> list[tuple[tuple[str, int], list[bytes]]]:
        """Empties the slab: each run as its destination and its datagrams, in the order of sending."""
    def messages(self) -> list[bytes]:
        """Empties the outbox of messages to control."""

@disjoint_base
class Worker(Forwarder):
    """The core at its sockets. The descriptors stay the caller's and must stay open."""

    def __init__(
        self,
        config_fd: int,
        state_fd: int,
        uplink_fd: int,
        udp_fds: Sequence[int],
        backend: str | None = None,
        *,
        gro: bool = True,
        hold_us: int | None = None,
        packet_fd: int = -1,
        rings_fd: int = -1,
        index: int = 0,
        wake_fds: Sequence[int] = (),
        busy_poll_us: int = 0,
    ) -> None:
        """`backend`: "openssl", "ipsec-mb" or None for the fastest that works; OSError if it does not.
        `hold_us`: the longest that a busy worker gathers before it forwards; None = HOLDING_LIMIT_NS.
        `packet_fd`: a packet socket of control.io.sockets.packet_socket by which IPv4 leaves;
        one that is of no use is left alone.
        `rings_fd` of `rings.make_rings`: this is worker `index` of those that share it; `wake_fds` are
        eventfds by worker, as many as there are. LayoutError if they are of another layout.
        `busy_poll_us`: so long a worker without work looks again before it sleeps."""
    def run(self) -> None:
        """Forwards until SIGTERM or DOWNLINK_STOP. Python's other handlers run within 250 ms."""
