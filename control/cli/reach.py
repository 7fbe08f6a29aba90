"""Do datagrams to the advertised addresses come to the media ports? Tried with some of our own."""

import ipaddress
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
    try:
        bound = bind_media(media.listen, media.port)
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
        return
    try:
        port = bound[0].getsockname()[1]
        yield "ok", f"UDP port {port} can be opened", ""
        for address in _targets(media):
            arrived = _arrives(address, port, bound)
            yield _judged(address, port, arrived)
    finally:
        for one in bound:
            one.close()


def _through_server(config: Config, server: Server) -> Iterator[tuple[str, str, str]]:
    """It runs and has the ports: it counts what comes."""
    for address in _targets(config.media):
        before = _counted(server)
        _send(address, config.media.port)
        time.sleep(0.3)
        yield _judged(address, config.media.port, _counted(server) >= before + PROBES)


def _counted(server: Server) -> int:
    workers = server.get("/status")["workers"]
    return sum(int(worker["counters"]["demux_unknown_dropped"]) for worker in workers)


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


def _judged(address: str, port: int, arrived: bool) -> tuple[str, str, str]:
    public = ipaddress.ip_address(address).is_global
    if arrived:
        own = "" if public else " (an address of a private network: people elsewhere need [media].advertise)"
        return "ok" if public else "warning", f"{address} port {port} reaches this machine{own}", ""
    return (
        "error",
        f"what is sent to {address} UDP port {port} does not arrive here",
        "Is it this machine's public address, or that of a NAT that forwards the port? Does a firewall"
        " drop UDP?\n"
        "A NAT that does not send its own side's packets back makes this a false alarm: try from"
        " outside with\n"
        f"nc -u {address} {port} and look at rx_datagrams in `sotto status --json`.",
    )
