"""Frames as they were sent, written into one Matroska file per member. Nothing is decoded."""

import contextlib
import queue
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av

from client.errors import Trouble
from client.receiving import ReceivedFrame
from client.rtp.vp8 import picture_size

_MS = Fraction(1, 1000)
# A file begins when all of a member's sources were seen, or after so long: what comes later of a source that
# was silent until then has no track in it. Longer: more is held in memory.
GATHER_S = 3.0
SOURCES = ("camera", "audio", "screen", "screen_audio")


class _MemberFile:
    """One member's. A source that begins later than the others, such as a screen, begins another part: a
    file has all of its tracks from its first byte on.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = 0
        self._held: list[ReceivedFrame] = []
        self._container: av.container.OutputContainer | None = None
        self._tracks: dict[str, av.stream.Stream] = {}
        self._sizes: dict[str, tuple[int, int]] = {}
        self._anchors: dict[str, float] = {}
        self._last: dict[str, int] = {}
        self._begun = 0.0
        self.frames = 0
        self.left_out = 0

    def take(self, frame: ReceivedFrame) -> None:
        if frame.source in ("camera", "screen") and frame.key:
            self._sizes[frame.source] = picture_size(frame.data) or (1280, 720)
        if self._container is not None:
            if frame.source not in self._tracks and self._known(frame.source):
                self._begin({*self._tracks, frame.source}, frame.arrived)
            return self._write(frame)
        self._held.append(frame)
        kinds = {each.source for each in self._held}
        if {"camera", "audio"} <= kinds or frame.arrived - self._held[0].arrived > GATHER_S:
            self._begin_with_held()
        return None

    def close(self) -> None:
        if self._container is None and self._held:
            self._begin_with_held()
        self._end()

    def _known(self, source: str) -> bool:
        """A picture can be written once its size is known, which a key frame says."""
        return source in self._sizes or source in ("audio", "screen_audio")

    def _begin_with_held(self) -> None:
        held, self._held = sorted(self._held, key=lambda each: each.arrived), []
        if sources := {each.source for each in held if self._known(each.source)}:
            self._begin(sources, held[0].arrived)
            for frame in held:
                self._write(frame)

    def _begin(self, sources: set[str], now: float) -> None:
        self._end()
        self._part += 1
        path = self._path if self._part == 1 else self._path.with_stem(f"{self._path.stem}-part{self._part}")
        container = av.open(str(path), "w", format="webm" if path.suffix == ".webm" else "matroska")
        for source in SOURCES:
            if source not in sources:
                continue
            if source in self._sizes:
                width, height = self._sizes[source]
                track = container.add_mux_stream("vp8", width=width, height=height, time_base=_MS)
            else:
                # Made by the encoder, which never encodes: its header (RFC 7845) is what players want to see.
                track = container.add_stream("libopus", rate=48_000, layout="mono", time_base=_MS)
            track.metadata["title"] = source
            self._tracks[source] = track
        self._container = container
        self._begun = now

    def _end(self) -> None:
        if self._container is not None:
            self._container.close()
        self._container = None
        self._tracks, self._anchors, self._last = {}, {}, {}

    def _write(self, frame: ReceivedFrame) -> None:
        track = self._tracks.get(frame.source)
        if track is None or self._container is None or (frame.source not in self._last and not frame.key):
            self.left_out += 1
            return
        # Media time runs evenly within a slot; where each slot begins the clock says.
        anchor = self._anchors.setdefault(frame.mid, frame.arrived - self._begun - frame.time)
        if abs(frame.arrived - self._begun - frame.time - anchor) > 1:
            anchor = self._anchors[frame.mid] = frame.arrived - self._begun - frame.time
        at = max(0, round((frame.time + anchor) * 1000), self._last.get(frame.source, -1) + 1)
        self._last[frame.source] = at
        packet = av.Packet(frame.data)
        packet.stream, packet.time_base = track, _MS
        packet.pts = packet.dts = at
        packet.is_keyframe = frame.key
        self._container.mux_one(packet)
        self.frames += 1


class Recorder:
    """Writes in a thread of its own: a slow disk holds up nothing else."""

    def __init__(self, path: str, name_of: Callable[[int], str]) -> None:
        self._path, self._name_of = Path(path), name_of
        if self._path.suffix not in (".mkv", ".webm"):
            raise Trouble("file_unusable", "A recording is a .mkv or a .webm file.")
        if not self._path.parent.is_dir():
            raise Trouble("file_unusable", f"There is no folder {self._path.parent}.")
        self._names: dict[int, str] = {}
        self.files: dict[int, _MemberFile] = {}
        self.failed: str | None = None
        self._queue: queue.SimpleQueue[ReceivedFrame | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def take(self, frame: ReceivedFrame) -> None:
        self._names.setdefault(frame.member, self._name_of(frame.member))
        self._queue.put(frame)

    def close(self) -> None:
        """Returns when everything is written."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            while (frame := self._queue.get()) is not None:
                self._file(frame.member).take(frame)
        except (OSError, av.FFmpegError) as error:
            self.failed = type(error).__name__
        for file in self.files.values():
            with contextlib.suppress(OSError, av.FFmpegError):
                file.close()

    def _file(self, member: int) -> _MemberFile:
        if member not in self.files:
            name = "".join(each if each.isalnum() or each in "-_." else "_" for each in self._names[member])
            path = self._path.with_name(f"{self._path.stem}-{member}-{name}{self._path.suffix}")
            self.files[member] = _MemberFile(path)
        return self.files[member]
