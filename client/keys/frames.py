"""Encoded frames on the wire: `clear bytes | SFrame` (docs/protocol.md section 5). Which bytes stay clear,
and why a frame could not be opened."""

from dataclasses import dataclass
from enum import Enum

from client.keys.kid import make_kid
from client.keys.sframe import COUNTER_MAX, TAG_BYTES, KeyOfKid, ratchet
from client.protocol import limits

AUDIO_CLEAR, VIDEO_KEY_CLEAR, VIDEO_DELTA_CLEAR = 1, 10, 3


def is_audio(source: int) -> bool:
    return source in (0, 3)


def clear_bytes(audio: bool, frame: bytes) -> int:
    """How many bytes of an encoded frame, plain or sealed, are not encrypted. The P bit of VP8 tells key
    frames."""
    if audio:
        return AUDIO_CLEAR
    return VIDEO_DELTA_CLEAR if frame and frame[0] & 1 else VIDEO_KEY_CLEAR


class Verdict(Enum):
    """What came of a frame of others."""

    OPENED = "decrypting"
    KEY_MISSING = "key missing"
    WRONG_KEY = "wrong key"
    NOT_ENCRYPTED = "not encrypted"
    REPLAYED = "replayed"
    STALLED = "nothing comes"  # of a source that is neither muted, hidden nor paused


@dataclass(slots=True)
class BaseKey:
    """A base key at one step of its ratchet, as it was made or received."""

    epoch: int
    step: int
    key: bytes

    def __repr__(self) -> str:
        return f"BaseKey(epoch={self.epoch}, step={self.step})"

    def stepped(self) -> "BaseKey":
        return BaseKey(self.epoch, self.step + 1, ratchet(self.key))


class Sealer:
    """One source of ours: all encodings share key and counter. Until the first key is in use nothing is
    sealed."""

    def __init__(self, member: int, source: int) -> None:
        self._member, self._source = member, source
        self._key: KeyOfKid | None = None
        self._base = b""
        self._counter = 0

    def use(self, base: BaseKey) -> None:
        """From now on frames are sealed with it. The same key twice changes nothing: a counter never starts
        again."""
        if base.key == self._base:
            return
        self._base = base.key
        self._key = KeyOfKid(base.key, make_kid(self._member, self._source, base.epoch, base.step))
        self._counter = 0

    @property
    def ready(self) -> bool:
        return self._key is not None

    def seal(self, frame: bytes) -> bytes | None:
        """None when there is no key yet, or the frame is empty."""
        if self._key is None or not frame or self._counter > COUNTER_MAX:
            return None
        clear = clear_bytes(is_audio(self._source), frame)
        counter = self._counter
        self._counter += 1
        return frame[:clear] + self._key.seal(counter, frame[:clear], frame[clear:])


class ReplayWindow:
    """Counters of one KID that have been seen: the newest and the 1023 before it."""

    def __init__(self, size: int = limits.REPLAY_WINDOW) -> None:
        self._size = size
        self._newest = -1
        self._seen = 0  # bit i: newest - i was seen

    def is_new(self, counter: int) -> bool:
        behind = self._newest - counter
        return behind < 0 or (behind < self._size and not self._seen >> behind & 1)

    def add(self, counter: int) -> None:
        """Only counters of frames that were authenticated."""
        ahead = counter - self._newest
        if ahead > 0:
            self._seen = (self._seen << ahead if ahead < self._size else 0) & (1 << self._size) - 1 | 1
            self._newest = counter
        else:
            self._seen |= 1 << -ahead


@dataclass(frozen=True, slots=True)
class Opened:
    """`member` and `source` are the KID's word: sure when OPENED, a claim otherwise (0: it names nobody)."""

    verdict: Verdict
    member: int = 0
    source: int = 0
    epoch: int = 0
    data: bytes = b""


MINIMUM = TAG_BYTES + 1
