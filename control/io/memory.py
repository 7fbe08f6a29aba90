"""What a control process notes for the next one, in memory that the supervisor holds: a memfd, never a disk.

A journal: each note is appended with its length and a check sum, so that a kill at any instruction loses at
most the note under way. When it has grown well beyond what it says, all that still holds goes into the other
of two areas, and one index makes that one current.

    0     8 bytes  magic with the version of this layout
    8     u64      generation: odd and even ones have an area each; 0 = nothing was ever noted
    4096           areas of AREA bytes, the even one first
    note           u32 length, u32 CRC-32 of generation, length and JSON; JSON [key, value], null = gone
"""

import errno
import json
import logging
import os
import struct
import zlib
from collections.abc import Iterable
from typing import Any, Final

log = logging.getLogger(__name__)

_MAGIC: Final = b"SottoN\x00\x01"
_START: Final = 4096
_HEAD: Final = struct.Struct("<II")
AREA: Final = 64 << 20
"""Bytes; only what is written takes memory. Lower: very large conferences are not noted."""
_SLACK: Final = 1 << 20
"""A journal is written anew when it is this much and four times what it says. Higher: more memory. Lower: it
is written anew more often, 1 ms for each 100 members."""


def make_memory() -> int:
    """An empty one, as a descriptor."""
    fd = os.memfd_create("sotto-notes", os.MFD_CLOEXEC)
    os.ftruncate(fd, _START + 2 * AREA)
    os.pwrite(fd, _MAGIC, 0)
    return fd


class Memory:
    """One worker's. `notes` is what was found; call `note` for each change."""

    def __init__(self, fd: int) -> None:
        """Takes the descriptor over. Of another layout, or damaged: begins anew."""
        self._fd = fd
        self.notes: dict[str, Any] = {}
        self.full = False
        """What is to be noted does not fit: nothing is noted any more, and the next process finds nothing."""
        self._texts: dict[str, bytes] = {}
        self._generation = 0
        self._at = 0
        self._live = 0
        if os.pread(fd, 8, 0) == _MAGIC:
            (self._generation,) = struct.unpack("<Q", os.pread(fd, 8, 8))
            self._read()
        else:
            os.pwrite(fd, _MAGIC + bytes(8), 0)

    def close(self) -> None:
        os.close(self._fd)

    def note(self, changes: Iterable[tuple[str, Any]]) -> None:
        """Each: a key and what holds of it now, None = it is gone.

        OSError where there is no memory: what holds then is written as soon as there is some again.
        """
        made = bytearray()
        for key, value in changes:
            text = json.dumps([key, value], separators=(",", ":")).encode()
            self._live -= len(self._texts.pop(key, b""))
            if value is not None:
                self._texts[key] = text
                self._live += len(text)
            made += self._framed(text)
        if self.full or not made:
            return
        if self._generation == 0 or self._at + len(made) > min(AREA, max(_SLACK, 4 * self._live)):
            self._write_anew()
        else:
            at, self._at = self._at, AREA  # unless all of it is there, everything is written anew next time
            self._write(made, self._area + at)
            self._at = at + len(made)

    @property
    def _area(self) -> int:
        return _START + (self._generation & 1) * AREA

    def _framed(self, text: bytes) -> bytes:
        return _HEAD.pack(len(text), _sum(self._generation, text)) + text

    def _write_anew(self) -> None:
        former, self._at = self._generation, AREA
        self._generation += 1
        made = b"".join(self._framed(text) for text in self._texts.values())
        if len(made) > AREA // 2:
            log.error("the conferences are too large to be noted for the next control process")
            self.full = True
            self._generation += 1  # of an area in which nothing of this generation stands
            made = b""
        try:
            self._write(made, self._area)
            os.pwrite(self._fd, struct.pack("<Q", self._generation), 8)
        except OSError:
            self._generation = former  # its area is the one that counts
            raise
        self._at = len(made)

    def _write(self, made: bytes | bytearray, at: int) -> None:
        if os.pwrite(self._fd, made, at) != len(made):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _read(self) -> None:
        """Until the first that is not whole: the tail of what was written in the area before, or torn."""
        while self._generation and self._at + _HEAD.size <= AREA:
            length, check = _HEAD.unpack(os.pread(self._fd, _HEAD.size, self._area + self._at))
            if not length or self._at + _HEAD.size + length > AREA:
                return
            text = os.pread(self._fd, length, self._area + self._at + _HEAD.size)
            if _sum(self._generation, text) != check:
                return
            key, value = json.loads(text)
            self._live -= len(self._texts.pop(key, b""))
            self.notes.pop(key, None)
            if value is not None:
                self.notes[key] = value
                self._texts[key] = text
                self._live += len(text)
            self._at += _HEAD.size + length


def _sum(generation: int, text: bytes) -> int:
    return zlib.crc32(text, zlib.crc32(struct.pack("<QI", generation, len(text))))
