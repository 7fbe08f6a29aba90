"""The folder in which the processes of one server find each other: locks, Unix sockets.

A lock dies with its holder. Its file holds the holder's process id as text; only the kernel's lock
says whether it still lives.
"""

import fcntl
import os
import socket
import struct
from pathlib import Path


class RunDirError(Exception):
    """The folder cannot be used, or another server lives in it; the text says which."""


class Lock:
    """Held until closed or until the process ends; it survives exec if its descriptor does."""

    def __init__(self, path: Path, fd: int | None = None) -> None:
        """BlockingIOError while another process holds it; `fd`: the lock as it came through an exec."""
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600) if fd is None else fd
        try:
            os.set_inheritable(self.fd, False)  # a child that has it too keeps the lock beyond our end
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self.fd, 0)
            os.pwrite(self.fd, str(os.getpid()).encode(), 0)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1


def holder(path: Path) -> int | None:
    """Process id of whoever holds the lock now."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(fd, 32, 0)
        # Nothing yet: taken a moment ago.
        return int(text) if text.isdigit() else 0
    finally:
        os.close(fd)
    return None


def prepare(folder: Path) -> Path:
    """Makes the folder, for its owner alone. RunDirError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise RunDirError(f"{folder}: {error.strerror or error}") from None
    return folder


def supervisor_lock(folder: Path) -> Path:
    return folder / "supervisor.lock"


def control_lock(folder: Path) -> Path:
    return folder / "control.lock"


def keeper_socket(folder: Path, index: int, pid: int) -> Path:
    return folder / f"keeper-{index}-{pid}.sock"


def operator_socket(folder: Path) -> Path:
    """Where control answers the operator's commands."""
    return folder / "control.sock"


def listen(path: Path, kind: socket.SocketKind = socket.SOCK_SEQPACKET) -> socket.socket:
    """A Unix socket at this place, for the owner alone, whatever stood there before. OSError."""
    listening = socket.socket(socket.AF_UNIX, kind | socket.SOCK_CLOEXEC)
    path.unlink(missing_ok=True)
    try:
        with _short(path) as short:
            listening.bind(short)
        path.chmod(0o600)
        listening.listen(8)
    except BaseException:
        listening.close()
        raise
    return listening


def connect(
    path: Path, kind: socket.SocketKind = socket.SOCK_SEQPACKET, timeout_s: float = 2.0
) -> socket.socket:
    """OSError if nobody listens there."""
    connected = socket.socket(socket.AF_UNIX, kind | socket.SOCK_CLOEXEC)
    connected.settimeout(timeout_s)
    try:
        with _short(path) as short:
            connected.connect(short)
    except BaseException:
        connected.close()
        raise
    return connected


def peer_of(connected: socket.socket) -> tuple[int, int]:
    """(process id, user id) of the other side, as the kernel saw them when it connected."""
    pid, uid, _gid = struct.unpack("3i", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return pid, uid


class _short:  # noqa: N801
    """A path of any length as one that fits a socket's 107 bytes: by a descriptor of its folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def __enter__(self) -> str:
        self._fd = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._fd}/{self._path.name}"

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
