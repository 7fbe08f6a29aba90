"""Networks of one's own: the server's namespace, and others behind bridges that behave as told (netbridge.c).

    with Network(folder) as network:
        link = network.link("viewer", seed=1)
        link.down.set(rate=500_000, queue_ms=150, delay_ms=20)
        link.spawn(["chromium", ...])          # what runs in there reaches the server and nothing else
        ...
        link.passages()                        # every packet, when the bridge has been asked to flush

Needs root. Namespaces have no names: they end with their last process.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ParamSpec, Self, TypeVar

from benchmarks.quality.passages import Passage, read_log

SERVER = "192.0.2.1"
_NEW_NETWORK = 0x40000000  # CLONE_NEWNET
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 1, 0x1000

P = ParamSpec("P")
T = TypeVar("T")


class NoNetwork(Exception):
    """No namespace or no TUN device to be had here; the text says why."""


class Namespace:
    """One thread lives in it; sockets and processes it makes stay there."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="namespace")
        self.call(_unshare)
        self.ip("link set lo up")

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs it inside; waits."""
        return self._thread.submit(function, *args, **kwargs).result()

    def spawn(self, *args: Any, **kwargs: Any) -> subprocess.Popen[Any]:
        """subprocess.Popen, inside."""
        return self.call(lambda: subprocess.Popen(*args, **kwargs))

    def socket(self, host: str = "0.0.0.0", port: int = 0) -> socket.socket:
        """A UDP socket, inside, that does not block."""

        def make() -> socket.socket:
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                made.setsockopt(socket.SOL_SOCKET, option, 1 << 22)
            made.bind((host, port))
            return made

        return self.call(make)

    def ip(self, command: str) -> None:
        self.call(lambda: subprocess.run(["ip", *command.split()], check=True))

    def tun(self, name: str, address: str, peer: str) -> int:
        """A new TUN device; the descriptor at which its packets are read and written."""

        def make() -> int:
            try:
                fd = os.open("/dev/net/tun", os.O_RDWR)
                fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
            except OSError as error:
                raise NoNetwork(f"no TUN device to be had here: {error.strerror}") from None
            return fd

        fd = self.call(make)
        self.ip(f"address add {address} peer {peer} dev {name}")
        # Longer than any queue that is simulated: nothing may be lost before the bridge.
        self.ip(f"link set {name} txqueuelen 20000 up")
        return fd

    def close(self) -> None:
        self._thread.shutdown()


class Direction:
    """One direction of a link."""

    def __init__(self, link: Link, name: str) -> None:
        self._link = link
        self._name = name

    def set(self, **settings: float) -> float:
        """Changes what is named (netbridge.c has the list); when it took effect, in s of CLOCK_MONOTONIC."""
        words = [self._name, *(f"{name}={value!r}" for name, value in settings.items())]
        return self._link.ask(" ".join(words))


class Link:
    """A namespace with one way out, to the server, and the bridge on that way."""

    def __init__(
        self, server: Namespace, bridge: Path, folder: Path, name: str, number: int, seed: int
    ) -> None:
        self.name = name
        self.namespace = Namespace()
        near, far = (f"198.51.100.{4 * number + one}" for one in (1, 2))
        fds = server.tun(f"q{number}", near, far), self.namespace.tun("q", far, near)
        self.namespace.ip("route add default dev q")
        self.log = folder / f"{name}.packets"
        self._process = subprocess.Popen(
            [str(bridge), *map(str, fds), str(seed), str(self.log)],
            pass_fds=fds,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        for fd in fds:
            os.close(fd)
        self._answer()
        self.down = Direction(self, "ab")
        """From the server."""
        self.up = Direction(self, "ba")
        self.both = Direction(self, "both")
        self.spawn = self.namespace.spawn
        self.socket = self.namespace.socket

    def ask(self, line: str) -> float:
        """One command of the bridge."""
        answer = self._tell(line)
        word, _, rest = answer.partition(" ")
        if word != "ok":
            raise ValueError(f"{line}: {answer}")
        return int(rest) / 1e9

    def stats(self) -> dict[str, dict[str, int]]:
        """Totals since the beginning, by direction "ab" (from the server) and "ba"; flushes the log."""
        found: dict[str, dict[str, int]] = json.loads(self._tell("stats"))
        return found

    def passages(self, down: bool = True) -> list[Passage]:
        """Every packet of a direction that left the bottleneck's queue until now, in that order."""
        self.stats()
        return read_log(self.log.read_text(), "ab" if down else "ba")

    def close(self) -> None:
        if self._process.poll() is None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(5)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self.namespace.close()

    def _tell(self, line: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        return self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline().strip()
        if not answer:
            raise NoNetwork("the bridge has ended")
        return answer


class Network:
    """The server's namespace and everybody's links to it. `folder`: for logs and the bridge's program."""

    def __init__(self, folder: Path, bridge: Path | None = None) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._bridge = bridge or build_bridge(folder)
        self.links: dict[str, Link] = {}

    def __enter__(self) -> Self:
        if os.geteuid() != 0 or shutil.which("ip") is None:
            raise NoNetwork("making network namespaces needs root and iproute2")
        self.server = Namespace()
        # Browsers gather no candidates on a loopback device; the way out leads nowhere.
        self.server.ip("link add media0 type veth peer name media1")
        self.server.ip(f"address add {SERVER}/24 dev media0")
        self.server.ip("link set media0 up")
        self.server.ip("link set media1 up")
        self.server.ip(f"route add default via {SERVER.rpartition('.')[0]}.254 dev media0")
        return self

    def __exit__(self, *_: object) -> None:
        for link in self.links.values():
            link.close()
        self.server.close()

    def link(self, name: str, seed: int = 1) -> Link:
        link = Link(self.server, self._bridge, self.folder, name, len(self.links), seed)
        self.links[name] = link
        return link


def build_bridge(folder: Path) -> Path:
    """Compiles netbridge.c where its program is older."""
    source = Path(__file__).with_name("netbridge.c")
    program = folder / "netbridge"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        folder.mkdir(parents=True, exist_ok=True)
        made = folder / f"netbridge.{os.getpid()}"
        subprocess.run(["gcc", "-std=c11", "-O2", "-o", str(made), str(source)], check=True)
        made.replace(program)
    return program


def _unshare() -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(_NEW_NETWORK) != 0:
        raise NoNetwork(f"no network namespace to be had here: {os.strerror(ctypes.get_errno())}")
    for name in ("all", "default"):
        # No router solicitations and the like: only what is measured is on the way.
        with open(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6", "w") as file:
            file.write("1")
