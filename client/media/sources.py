"""What can be sent: a test pattern, or a file. Pictures and sound are made in the thread that asks for
them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import av
from av.filter import Graph

from client.errors import Trouble

SAMPLE_RATE = 48_000
SAMPLES = 960  # 20 ms


@dataclass(frozen=True, slots=True)
class Picture:
    """`at`: seconds after the first."""

    frame: av.VideoFrame
    at: float


@dataclass(frozen=True, slots=True)
class Sound:
    """20 ms of mono, 16 bits a sample."""

    frame: av.AudioFrame
    at: float

    @property
    def samples(self) -> bytes:
        return bytes(self.frame.planes[0])[: 2 * self.frame.samples]


class Source(Protocol):
    """Iterators are used by one thread each. `width`, `height` are those of the encoding `f`."""

    width: int
    height: int
    rate: float
    has_picture: bool
    has_sound: bool

    def pictures(self) -> Iterator[Picture]: ...

    def sounds(self) -> Iterator[Sound]: ...


class Pattern:
    """A moving test picture with a clock in it, and a tone. `picture`: another source of FFmpeg's."""

    has_picture = has_sound = True

    def __init__(
        self,
        width: int = 1280,
        height: int = 720,
        rate: float = 15,
        tone: int = 440,
        picture: str = "testsrc2",
    ) -> None:
        self.width, self.height, self.rate = width, height, rate
        self._tone, self._picture = tone, picture

    def pictures(self) -> Iterator[Picture]:
        graph = Graph()
        name, _, options = self._picture.partition("=")
        size = f"size={self.width}x{self.height}:rate={self.rate}"
        source = graph.add(name, f"{options}:{size}" if options else size)
        shape = graph.add("format", "yuv420p")
        sink = graph.add("buffersink")
        source.link_to(shape)
        shape.link_to(sink)
        graph.configure()
        count = 0
        while True:
            yield Picture(graph.vpull(), count / self.rate)
            count += 1

    def sounds(self) -> Iterator[Sound]:
        graph = Graph()
        parameters = f"frequency={self._tone}:sample_rate={SAMPLE_RATE}:samples_per_frame={SAMPLES}"
        source = graph.add("sine", parameters)
        shape = graph.add("aformat", "sample_fmts=s16:channel_layouts=mono")
        sink = graph.add("abuffersink")
        source.link_to(shape)
        shape.link_to(sink)
        graph.configure()
        count = 0
        while True:
            frame = graph.pull()
            assert isinstance(frame, av.AudioFrame)
            yield Sound(frame, count * SAMPLES / SAMPLE_RATE)
            count += 1


class File:
    """Anything FFmpeg reads, once or again and again. Pictures keep their shape, 720 lines at most."""

    def __init__(self, path: str | Path, loop: bool = True) -> None:
        self._path, self._loop = str(path), loop
        with self._open() as container:
            video = next(iter(container.streams.video), None)
            self.has_picture, self.has_sound = video is not None, bool(container.streams.audio)
            if not self.has_picture and not self.has_sound:
                raise Trouble("file_unusable", f"There is neither picture nor sound in {self._path}.")
            self._duration = (container.duration or 0) / av.time_base
            width, height = (video.width, video.height) if video is not None else (1280, 720)
            rate = float(video.average_rate or 25) if video is not None else 25.0
        scale = min(1.0, 720 / max(1, height))
        self.width, self.height = int(width * scale) // 8 * 8 or 8, int(height * scale) // 8 * 8 or 8
        self.rate = min(30.0, rate)

    def pictures(self) -> Iterator[Picture]:
        begun = 0.0
        while True:
            at = 0.0
            with self._open() as container:
                last = -1.0
                for frame in container.decode(video=0):
                    at = max(0.0, frame.time or 0.0)
                    if at - last < 0.9 / self.rate:
                        continue
                    last = at
                    yield Picture(frame.reformat(self.width, self.height, format="yuv420p"), begun + at)
            if not self._loop:
                return
            begun += max(self._duration, at + 1 / self.rate)

    def sounds(self) -> Iterator[Sound]:
        begun = 0.0
        while True:
            count = 0
            with self._open() as container:
                shape = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE, frame_size=SAMPLES)
                for frame in container.decode(audio=0):
                    for piece in shape.resample(frame):
                        yield Sound(piece, begun + count * SAMPLES / SAMPLE_RATE)
                        count += 1
            if not self._loop:
                return
            begun += max(self._duration, count * SAMPLES / SAMPLE_RATE)

    def _open(self) -> av.container.InputContainer:
        try:
            return av.open(self._path)
        except (OSError, av.FFmpegError) as error:
            raise Trouble("file_unusable", f"{self._path} cannot be read: {type(error).__name__}.") from None
