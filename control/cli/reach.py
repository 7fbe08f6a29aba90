"""Do datagrams to the advertised addresses come to the media ports? Tried with some of our own."""

import ipaddress
import itertools
import os
import socket
import time
from collections.abc import Iterator, Sequence

from control.cli.asking import Server
from control.cli.main import Failure
from control.config import Config, MediaConfig
from control.io.sockets import BindError, bind_media

PROBES = 5
PROBE = b"\xff" * 20
"""Of no kind that RFC 7983 knows: the server counts and drops it."""
WAIT_S = 1.0


def reach(config: Config, server: Server) -> Iterator[tuple[str, str, str]]:
    """(level, text, fix) for each thing looked at."""
    media = config.media
    count = config.server.workers or len(os.sched_getaffinity(0))
    bound: list[list[socket.socket]] = []
    try:
        for index in range(count):
            bound.append(bind_media(media.listen, media.port and media.port + index))
        ports = [each[0].getsockname()[1] for each in bound]
        yield "ok", f"{_named(ports)} can be opened", ""
        for address in _targets(media):
            pairs = zip(ports, bound, strict=True)
            yield _judged(address, ports, [port for port, at in pairs if not _arrives(address, port, at)])
    except BindError as error:
        try:
            server.get("/status")
        except Failure:
            yield (
                "error",
                f"the media port cannot be opened: {error}",
                "Another program has it (ss -ulpn says which), or [media].listen is no address of this"
                " machine.",
            )
            return
        yield from _through_server(config, server)
    finally:
        for one in itertools.chain.from_iterable(bound):
            one.close()


def _through_server(config: Config, server: Server) -> Iterator[tuple[str, str, str]]:
    """It runs and has the ports: it counts what comes."""
    for address in _targets(config.media):
        before = _counted(server)
        ports = [config.media.port + index for index in range(len(before))]
        for port in ports:
            _send(address, port)
        deadline = time.monotonic() + WAIT_S
        closed = ports
        while closed and time.monotonic() < deadline:
            now = zip(ports, before, _counted(server), strict=True)
            closed = [port for port, was, is_now in now if is_now < was + PROBES]
            time.sleep(0.05)
        yield _judged(address, ports, closed)


def _counted(server: Server) -> list[int]:
    """Of each worker."""
    workers = server.get("/status")["workers"]
    return [int(worker["counters"]["demux_unknown_dropped"]) for worker in workers]


def _targets(media: MediaConfig) -> Sequence[str]:
    """What clients are told."""
    named = [address for address in media.listen if not ipaddress.ip_address(address).is_unspecified]
    return media.advertise or named or [_own_address()]


def _own_address() -> str:
    """The one this machine would use to speak to the world; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def _send(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        try:
            for _ in range(PROBES):
                sender.sendto(PROBE, (address, port))
        except OSError:
            return False
    return True


def _arrives(address: str, port: int, bound: Sequence[socket.socket]) -> bool:
    if not _send(address, port):
        return False
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        for one in bound:
            try:
                if one.recv(2048) == PROBE:
                    return True
            except BlockingIOError:
                continue
        time.sleep(0.01)
    return False


def _named(ports: Sequence[int]) -> str:
    """In one word each, or the whole row of them."""
    if len(ports) > 2 and list(ports) == list(range(ports[0], ports[-1] + 1)):
        return f"UDP ports {ports[0]} to {ports[-1]}"
    return f"UDP port{'s' * (len(ports) > 1)} {', '.join(map(str, ports))}"


def _judged(address: str, ports: Sequence[int], closed: Sequence[int]) -> tuple[str, str, str]:
    public = ipaddress.ip_address(address).is_global
    if not closed:
        own = "" if public else " (an address of a private network: people elsewhere need [media].advertise)"
        return "ok" if public else "warning", f"{address} {_named(ports)}: reached from this machine{own}", ""
    opened = f"{closed[0]}:{closed[-1]}" if len(closed) > 1 else str(closed[0])
    return (
        "error",
        f"what is sent to {address} {_named(closed)} does not arrive here",
        "Is it this machine's public address, or that of a NAT that forwards the ports? Does a firewall"
        f" drop UDP?\nnft list ruleset (or iptables -L) shows its rules; ufw allow {opened}/udp, or a line"
        f"\nlike iptables -I INPUT -p udp --dport {opened} -j ACCEPT, opens them.\n"
        "A NAT that does not send its own side's packets back makes this a false alarm: try from"
        " outside with\n"
        f"nc -u {address} {closed[0]} and look at rx_datagrams in `sotto status --json`.",
    )
