"""Sockets that outlive the processes using them: media ports, and the pairs between workers and control."""

import socket
from collections.abc import Sequence

MEDIA_BUFFER = 4 << 20
"""Bytes the kernel holds for a UDP socket: 130 ms at 250 Mbit/s. Lower: a pause of the worker loses packets.
Without CAP_NET_ADMIN it is capped by net.core.rmem_max and wmem_max."""
UPLINK_BUFFER = 1 << 20
"""Bytes of messages that wait while control or a worker is away. Lower: more is lost meanwhile."""

# Absent from the socket module of Python 3.11.
_IP_PKTINFO = 8
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_SOL_PACKET, _PACKET_VNET_HDR = 263, 15


class BindError(Exception):
    """A socket cannot be bound; the text says which and why."""


def bind_media(listen: Sequence[str], port: int) -> list[socket.socket]:
    """One UDP socket per address on `port` (0: a free one each); "::" alone is both families. BindError."""
    if tuple(listen) == ("::",) and not _has_ipv6():
        listen = ("0.0.0.0",)
    bound: list[socket.socket] = []
    for host in listen:
        try:
            bound.append(_bind(host, port))
        except OSError as error:
            for one in bound:
                one.close()
            raise BindError(f"UDP {host} port {port or 'any'}: {error.strerror or error}") from None
    return bound


def packet_socket(interface: str) -> socket.socket | None:
    """To send past the kernel's UDP and IP over one interface; it receives nothing. None: not allowed, or no
    such interface."""
    try:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    except OSError:
        return None
    try:
        made.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
        made.bind((interface, 0))
    except OSError:
        made.close()
        return None
    _enlarge(made, MEDIA_BUFFER)
    return made


def uplink_pair() -> tuple[socket.socket, socket.socket]:
    """(control's end, the worker's end): whole messages, in order, never blocking."""
    control, worker = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    for end in (control, worker):
        _enlarge(end, UPLINK_BUFFER)
    return control, worker


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        _enlarge(bound, MEDIA_BUFFER)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host != "::")
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            bound.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        bound.bind((host, port))
    except BaseException:
        bound.close()
        raise
    return bound


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::", 0))
    except OSError:
        return False
    return True


def _enlarge(one: socket.socket, size: int) -> None:
    for forced, plain in ((_SO_RCVBUFFORCE, socket.SO_RCVBUF), (_SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        try:
            one.setsockopt(socket.SOL_SOCKET, forced, size)
        except OSError:
            one.setsockopt(socket.SOL_SOCKET, plain, size)
