"""What tests of tables share: rows to put, and the strict reader of tests/fastpath/c through ctypes."""

import ctypes
import subprocess
import time
from pathlib import Path

from control.protocol.rows import (
    NONE,
    Codec,
    ExtensionIds,
    HopKeys,
    IceCredentials,
    SinkRow,
    SourceKind,
    SourceRow,
    SrtpProfile,
    TransportRow,
)

ROOT = Path(__file__).resolve().parents[2]
RX_KEY, RX_SALT, TX_KEY, TX_SALT = b"<received key  >", b"<r-r salt  >", b"<transmit key  >", b"<t-t salt  >"
KEYS = HopKeys(SrtpProfile.AEAD_AES_128_GCM, RX_KEY, RX_SALT, TX_KEY, TX_SALT)


def transport_row(incarnation=1, *, keys=KEYS, conference=7, sources=(), **changes) -> TransportRow:
    values = {
        "incarnation": incarnation,
        "conference": conference,
        "ice": (IceCredentials("aaaaourfragment", "a-password-of-ours-24-xx", "theirs"),),
        "keys": keys,
        "rtcp_ssrc": 99,
        "remb_bps": 1_000_000,
        "sources": sources,
        "ext": ExtensionIds(mid=1, rid=2, audio_level=3),
    }
    return TransportRow(**{**values, **changes})


def source_row(incarnation=1, *, transport=0, transport_incarnation=1, member=7, **changes) -> SourceRow:
    values = {
        "incarnation": incarnation,
        "transport": transport,
        "transport_incarnation": transport_incarnation,
        "member": member,
        "kind": SourceKind.CAMERA,
        "codec": Codec.VP8,
        "clock_rate": 90000,
        "payload_type": 96,
        "rtx_payload_type": 97,
        "muted": False,
        "mid": "1",
        "rids": ("t", "m", "f"),
        "ssrcs": (11, 0, 13),
        "rtx_ssrcs": (0, 0, 14),
        "max_bps": (150_000, 500_000, 1_700_000),
        "floor_bps": (50_000, 0, 600_000),
        "share_percent": 40,
        "tmmbr": True,
    }
    return SourceRow(**{**values, **changes})


def sink_row(
    incarnation=1, *, transport=0, transport_incarnation=1, source=NONE, ssrc=7, **changes
) -> SinkRow:
    values = {
        "incarnation": incarnation,
        "transport": transport,
        "transport_incarnation": transport_incarnation,
        "source": source,
        "source_incarnation": 1,
        "ssrc": ssrc,
        "rtx_ssrc": ssrc + 1,
        "kind": SourceKind.CAMERA,
        "clock_rate": 90000,
        "payload_type": 96,
        "rtx_payload_type": 97,
        "max_encoding": 2,
        "priority": 1,
    }
    return SinkRow(**{**values, **changes})


def build_reader() -> Path:
    """The reader as a shared library, compiled if it is older than what it is made of."""
    sources = [ROOT / "fastpath/table.c", ROOT / "tests/fastpath/c/table_reader.c"]
    headers = [*(ROOT / "fastpath").glob("*.h"), ROOT / "tests/fastpath/c/table_reader.h"]
    library = ROOT / "build/tests/table_reader.so"
    newest = max(path.stat().st_mtime for path in [*sources, *headers])
    if not library.exists() or library.stat().st_mtime < newest:
        library.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["gcc", "-std=gnu11", "-O2", "-D_GNU_SOURCE", "-shared", "-fPIC", "-iquote", "fastpath"]
            + [str(path) for path in sources]
            + ["-o", str(library)],
            cwd=ROOT,
            check=True,
        )
    return library


class Reader:
    """A worker's side of the tables, without the worker."""

    def __init__(self, config_fd: int, state_fd: int) -> None:
        self._library = ctypes.CDLL(str(build_reader()))
        for name in ("table_reader_verify", "table_reader_run"):
            getattr(self._library, name).restype = ctypes.c_int64
        self._reader = ctypes.create_string_buffer(1024)
        assert self._library.table_reader_open(self._reader, config_fd, state_fd) == 0

    def close(self) -> None:
        self._library.table_reader_close(self._reader)

    def adopt(self) -> int:
        """1 = a new generation, 0 = nothing new, negative = refused."""
        return self._library.table_reader_adopt(self._reader)

    def verify(self) -> int:
        """The stamp all rows of the adopted generation bear, negative = the line of the check that failed."""
        return self._library.table_reader_verify(self._reader)

    def run(self, seconds: float, hold_s: float = 0.0) -> int:
        """Adopts and verifies for a while; returns how many generations. A fault is an AssertionError."""
        count = ctypes.c_uint64()
        until = ctypes.c_uint64(time.monotonic_ns() + int(seconds * 1e9))
        fault = self._library.table_reader_run(
            self._reader, until, ctypes.c_uint64(int(hold_s * 1e9)), ctypes.byref(count)
        )
        assert fault == 0, f"table_reader.c:{-fault}"
        return count.value

    def finds(self, data: bytes) -> bool:
        """Is it anywhere in the config segment?"""
        return bool(self._library.table_reader_finds(self._reader, data, ctypes.c_size_t(len(data))))

    def beat(self) -> None:
        self._library.table_reader_beat(self._reader, ctypes.c_uint64(time.monotonic_ns()))

    def serve(self, transport: int, source: int, sink: int, now_ns: int) -> None:
        """Stores what a worker would after a few packets."""
        self._library.table_reader_serve(self._reader, transport, source, sink, ctypes.c_uint64(now_ns))
