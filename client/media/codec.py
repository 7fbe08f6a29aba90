"""Encoders and decoders of PyAV, as small as they are used here. Not for the event loop's thread."""

import array
import math
from fractions import Fraction

import av
from av.video.frame import PictureType

from client.media.sources import SAMPLE_RATE, SAMPLES, Picture, Sound

# A change of bitrate below this is not worth the key frame that a new encoder begins with.
BITRATE_TOLERANCE = 0.15
_CLOCK = Fraction(1, 90_000)


class PictureEncoder:
    """VP8 for a call: no look-ahead, one reference structure, key frames only on request."""

    def __init__(self) -> None:
        self._context: av.VideoCodecContext | None = None
        self._made_for: tuple[int, int, int] = (0, 0, 0)
        self._last = -1

    def encode(
        self, picture: Picture, width: int, height: int, bitrate: int, rate: float, key: bool
    ) -> bytes:
        """One frame scaled to the size; empty when the encoder dropped it."""
        before = self._made_for
        moved = abs(bitrate - before[2]) > BITRATE_TOLERANCE * before[2]
        if self._context is None or (width, height) != before[:2] or moved:
            self._context = self._open(width, height, bitrate, rate)
            self._made_for = width, height, bitrate
        frame = picture.frame
        if (frame.width, frame.height) != (width, height) or frame.format.name != "yuv420p":
            frame = frame.reformat(width, height, format="yuv420p")
        # The same picture may go to several encoders at once: the mark must not stay on it.
        pts = max(self._last + 1, int(picture.at / _CLOCK))
        self._last = pts
        frame.pts, frame.time_base = pts, _CLOCK
        frame.pict_type = PictureType.I if key else PictureType.NONE
        return b"".join(bytes(packet) for packet in self._context.encode(frame))

    def _open(self, width: int, height: int, bitrate: int, rate: float) -> av.VideoCodecContext:
        context = av.CodecContext.create("libvpx", "w")
        assert isinstance(context, av.VideoCodecContext)
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base, context.framerate = _CLOCK, Fraction(rate).limit_denominator(1000)
        context.bit_rate = bitrate
        context.gop_size = 3000
        context.options = {
            "deadline": "realtime",
            "cpu-used": "10",
            "lag-in-frames": "0",
            "error-resilient": "1",
            "maxrate": str(bitrate),
            "minrate": str(bitrate),
            "bufsize": str(bitrate),
            "undershoot-pct": "100",
            "overshoot-pct": "15",
            "qmin": "2",
            "qmax": "56",
            "threads": "1",
        }
        return context


class SoundEncoder:
    """Opus, 20 ms a packet."""

    def __init__(self, bitrate: int = 32_000) -> None:
        context = av.CodecContext.create("libopus", "w")
        assert isinstance(context, av.AudioCodecContext)
        context.sample_rate, context.layout, context.format = SAMPLE_RATE, "mono", "s16"
        context.bit_rate = bitrate
        context.time_base = Fraction(1, SAMPLE_RATE)
        context.options = {"application": "voip", "frame_duration": "20", "fec": "1"}
        self._context = context
        self._pts = 0

    def encode(self, sound: Sound) -> list[bytes]:
        sound.frame.pts = self._pts
        sound.frame.time_base = Fraction(1, SAMPLE_RATE)
        self._pts += SAMPLES
        return [bytes(packet) for packet in self._context.encode(sound.frame)]


def level(samples: bytes) -> int:
    """Audio level of RFC 6464: 0 is the loudest, 127 silence (-dBov)."""
    values = array.array("h", samples)
    power = sum(value * value for value in values) / max(1, len(values))
    if power < 1:
        return 127
    return min(127, max(0, round(-10 * math.log10(power / 32768**2))))


class Decoder:
    """VP8 or Opus, one source; pictures or 48 kHz sound."""

    def __init__(self, audio: bool) -> None:
        self._context = av.CodecContext.create("opus" if audio else "vp8", "r")
        self.failed = 0

    def decode(self, data: bytes) -> list[av.VideoFrame | av.AudioFrame]:
        """Nothing when the decoder cannot make sense of it; counted."""
        try:
            return list(self._context.decode(av.Packet(data)))  # type: ignore[attr-defined]
        except av.FFmpegError:
            self.failed += 1
            return []
