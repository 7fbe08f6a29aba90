"""A network namespace of the test's own: what is started in it sees nothing outside, and the other way round.

    with Namespace("192.0.2.7") as namespace:
        namespace.call(homeserver.start)
        namespace.spawn(["ping", "192.0.2.7"])

It has no name, so it ends with its last process. Firefox does not connect to a server on a loopback address:
the address is on a device that is none.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, ParamSpec, Self, TypeVar

from tests.conftest import without_namespaces

_NEW_NETWORK = 0x40000000  # CLONE_NEWNET

P = ParamSpec("P")
T = TypeVar("T")


class Namespace:
    """One thread lives in it, which `call` runs things on; processes and sockets made there stay there.

    The thread lives as long as the namespace: children that end with their parent end with that thread.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="namespace")

    def __enter__(self) -> Self:
        if os.geteuid() != 0 or shutil.which("ip") is None:
            without_namespaces("making a network namespace needs root and iproute2")
        self.call(self._enter)
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs it inside; waits."""
        return self._thread.submit(function, *args, **kwargs).result()

    def spawn(self, *args: Any, **kwargs: Any) -> subprocess.Popen[Any]:
        """subprocess.Popen, inside."""
        return self.call(lambda: subprocess.Popen(*args, **kwargs))

    @contextmanager
    def without_port(self, port: int) -> Iterator[None]:
        """As if whoever has this UDP port had changed the network: nothing from or to it arrives."""
        chains = [("INPUT", "--sport"), ("INPUT", "--dport")]
        rules = [[chain, "-p", "udp", way, str(port), "-j", "DROP"] for chain, way in chains]
        for rule in rules:
            self.call(subprocess.run, ["iptables", "-w", "-I", *rule], check=True)
        try:
            yield
        finally:
            for rule in rules:
                self.call(subprocess.run, ["iptables", "-w", "-D", *rule], check=True)

    def lead_through(self, address: str) -> None:
        """Media of browsers that start from now on go from `address`, on a device of its own."""
        self._ip("link add way0 type veth peer name way1")
        for device in ("way0", "way1"):
            self._ip(f"link set {device} up")
        self._take(address)
        # The other ways to the server, from its own address and from loopback ones, lead nowhere.
        for source in (self._address, "127.0.0.0/8"):
            rule = ["INPUT", "-p", "udp", "-s", source, "-d", self._address]
            self.call(subprocess.run, ["iptables", "-w", "-I", *rule, "-j", "DROP"], check=True)

    def change_way(self, before: str, after: str) -> None:
        """The machine is in another network: it has another address, and not the one before."""
        self._ip(f"address del {before}/24 dev way0")
        self._take(after)

    def _take(self, address: str) -> None:
        """Firefox offers only the address that the default route leads from."""
        self._ip(f"address add {address}/24 dev way0")
        self._ip(f"route replace default via {address[: address.rindex('.')]}.1 dev way0")

    def _ip(self, command: str) -> None:
        self.call(subprocess.run, ["ip", *command.split()], check=True)

    def _enter(self) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        if library.unshare(_NEW_NETWORK) != 0:
            without_namespaces(f"no network namespace to be had here: {os.strerror(ctypes.get_errno())}")
        for command in (
            "link set lo up",
            "link add media0 type veth peer name media1",
            f"address add {self._address}/24 dev media0",
            "link set media0 up",
            "link set media1 up",
            f"route add default via {self._address[: self._address.rindex('.')]}.1 dev media0",
        ):
            subprocess.run(["ip", *command.split()], check=True)
