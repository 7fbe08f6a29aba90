"""From two samples of each participant to what they saw and heard in between. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Sample = Mapping[str, Any]
CAMERA = 1
BAD_FRAMES = ("missing_key", "wrong_key", "not_encrypted", "misplaced")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `goal` None: told, not judged."""

    name: str
    value: float | None
    unit: str
    goal: float | None
    better: Literal["higher", "lower", "equal"] = "equal"

    @property
    def ok(self) -> bool:
        if self.goal is None:
            return True
        if self.value is None:
            return False
        if self.better == "equal":
            return self.value == self.goal
        return self.value >= self.goal if self.better == "higher" else self.value <= self.goal

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "ok": self.ok}


@dataclass(frozen=True, slots=True)
class Reception:
    """What one participant got of another between two samples."""

    member: int
    frames_per_s: float
    height: int
    """Of the newest picture decoded."""
    audio_concealed_percent: float
    audio_s: float
    """Sound played, in seconds."""
    packets: int
    frames_decoded: int
    frames_opened: int
    frames_not_opened: int
    frames_in_clear: int
    verdicts: tuple[str, str]
    """Of audio and camera, at the end."""
    freezes: int


def receptions(before: Sample, after: Sample) -> list[Reception]:
    """One for each other member that was there in both samples, by member number."""
    seconds = (after["at_ms"] - before["at_ms"]) / 1000
    earlier = {tile["member"]: tile for tile in before["state"]["tiles"]}
    found = []
    for tile in sorted(after["state"]["tiles"], key=lambda one: int(one["member"])):
        if tile["member"] not in earlier:
            continue
        old = earlier[tile["member"]]
        video = _grown(before, after, old["camera"]["receiver"], tile["camera"]["receiver"])
        audio = _grown(before, after, old["audio"]["receiver"], tile["audio"]["receiver"])
        samples = audio.get("totalSamplesReceived", 0)
        frames = dict.fromkeys(("decrypted", *BAD_FRAMES), 0)
        for kind in ("audio", "camera"):
            for name in frames:
                counted = (side.get("counts", {}).get(name, 0) for side in (tile[kind], old[kind]))
                frames[name] += next(counted) - next(counted)
        found.append(
            Reception(
                member=tile["member"],
                frames_per_s=video.get("framesDecoded", 0) / seconds,
                height=_receiver(after, tile["camera"]["receiver"]).get("frameHeight", 0),
                audio_concealed_percent=100 * audio.get("concealedSamples", 0) / samples if samples else 100,
                audio_s=samples / 48000,
                packets=video.get("packetsReceived", 0) + audio.get("packetsReceived", 0),
                frames_decoded=video.get("framesDecoded", 0),
                frames_opened=frames["decrypted"],
                frames_not_opened=sum(frames[name] for name in BAD_FRAMES),
                frames_in_clear=frames["not_encrypted"],
                verdicts=(tile["audio"]["verdict"], tile["camera"]["verdict"]),
                freezes=video.get("freezeCount", 0),
            )
        )
    return found


def pictures_unaccounted(sample: Sample) -> int:
    """Encoded pictures that were neither encrypted nor dropped before they left, since the beginning.

    Sound has no such count: packets of audio are also padding, which holds nothing.
    """
    encoded = sum(row.get("framesSent", 0) for row in sample["stats"]["senders"] if row["kind"] == "video")
    camera = [one for one in sample["state"]["encoder"] if one["source"] == CAMERA]
    return int(encoded - sum(one["sealed"] + one["dropped"] for one in camera))


def height_of(sample: Sample, member: int) -> int:
    """Lines of the newest decoded picture of a member, 0 when there is none."""
    for tile in sample["state"]["tiles"]:
        if tile["member"] == member:
            return int(_receiver(sample, tile["camera"]["receiver"]).get("frameHeight", 0))
    return 0


def _receiver(sample: Sample, name: str | None) -> Mapping[str, Any]:
    for row in sample["stats"]["receivers"]:
        if row["receiver"] == name:
            found: Mapping[str, Any] = row
            return found
    return {}


def _grown(before: Sample, after: Sample, old: str | None, new: str | None) -> dict[str, int]:
    """Growth of a receiver's counters; nothing when the member has moved to another slot."""
    if old != new:
        return {}
    first, last = _receiver(before, old), _receiver(after, new)
    return {name: n - first.get(name, 0) for name, n in last.items() if isinstance(n, int)}


def table(rows: list[Row]) -> str:
    """For a terminal."""
    lines = []
    for row in rows:
        sign = {"higher": ">=", "lower": "<=", "equal": "="}[row.better]
        goal = "" if row.goal is None else f"{sign} {row.goal:g}"
        value = "-" if row.value is None else f"{row.value:.4g}" if row.value % 1 else f"{row.value:.0f}"
        mark = "ok" if row.goal is not None and row.ok else "" if row.ok else "FAILED"
        lines.append(f"{row.name:62} {value:>9} {row.unit:10} {goal:10} {mark}".rstrip())
    return "\n".join(lines)
