"""Two network namespaces of our own with a veth between them: the server in one, its members in the other.

Members have the addresses of a prefix that the other namespace takes as its own as a whole, so that one
socket sends for them all; the server reaches them over one next hop, as a real server does. What arrives is
taken from a packet ring at the device and goes no further: the server's process pays for its own way through
the kernel up to the wire and for one copy into the ring, and not for its receivers' sockets as it would
otherwise on a veth.
"""

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator

SERVER_ADDRESS = "10.63.0.1"
CLIENT_ADDRESS = "10.63.0.2"
HOP_ADDRESS, HOP_LINK = "10.63.0.3", "02:00:00:00:00:99"
MEMBERS_PREFIX = "10.64.0.0/15"
FIRST_MEMBER = (10 << 24) + (64 << 16) + 1
DEVICE = "bench"
CLONE_NEWNET = 0x40000000


class NotAllowed(Exception):
    """Namespaces need root (CAP_SYS_ADMIN and CAP_NET_ADMIN)."""


def run(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise NotAllowed(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


class Network:
    """Use as a context manager; leaving it removes everything that was made."""

    def __init__(self) -> None:
        self.server = f"sotto-bench-{os.getpid()}-s"
        self.client = f"sotto-bench-{os.getpid()}-c"

    def __enter__(self) -> "Network":
        try:
            for name in (self.server, self.client):
                run("ip", "netns", "add", name)
                run("ip", "-n", name, "link", "set", "lo", "up")
            run("ip", "link", "add", DEVICE, "netns", self.server, "type", "veth",
                "peer", "name", DEVICE, "netns", self.client)  # fmt: skip
            for name, address in ((self.server, SERVER_ADDRESS), (self.client, CLIENT_ADDRESS)):
                run("ip", "-n", name, "address", "add", f"{address}/24", "dev", DEVICE)
                run("ip", "-n", name, "link", "set", DEVICE, "up")
            # A next hop that nobody is: what goes there is seen by the ring and then dropped.
            run("ip", "-n", self.server, "neighbour", "add", HOP_ADDRESS, "lladdr", HOP_LINK, "dev", DEVICE)
            run("ip", "-n", self.server, "route", "add", MEMBERS_PREFIX, "via", HOP_ADDRESS)
            run("ip", "-n", self.client, "route", "add", "local", MEMBERS_PREFIX, "dev", "lo")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in (self.server, self.client):
            subprocess.run(("ip", "netns", "delete", name), check=False, capture_output=True)

    def device_segments(self, on: bool) -> None:
        """Whether the device takes UDP_SEGMENT messages whole, as good cards do; off = the kernel cuts."""
        value = "on" if on else "off"
        run("ip", "netns", "exec", self.server, "ethtool", "-K", DEVICE, "tx-udp-segmentation", value)

    @contextlib.contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """Sockets made here belong to that namespace, wherever they are used later."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/self/ns/net") as home, open(f"/run/netns/{name}") as there:
            enter(libc, there.fileno())
            try:
                yield
            finally:
                enter(libc, home.fileno())


def member_address(number: int) -> str:
    return ".".join(str(FIRST_MEMBER + number >> shift & 255) for shift in (24, 16, 8, 0))


def enter(libc: ctypes.CDLL, fd: int) -> None:
    if libc.setns(fd, CLONE_NEWNET) != 0:
        raise NotAllowed(os.strerror(ctypes.get_errno()))


def server_core(number: int = 0) -> int:
    """The core of worker `number`; the members have the last one."""
    return number % max(1, (os.cpu_count() or 1) - 1)


def client_core() -> int:
    return (os.cpu_count() or 1) - 1
