"""Rows of the result: what was measured, what it should be, and how it was measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple


class Goal(NamedTuple):
    unit: str
    goal: float | None
    better: Literal["higher", "lower"]
    most: float | None = None
    """Where more than this is a miss, too."""


GOALS = {
    "downswitch_s": Goal("s", 1.0, "lower"),
    "longest_freeze_ms": Goal("ms", 500, "lower"),
    "recover_s": Goal("s", 8, "lower"),
    "other_viewers_freeze_ms": Goal("ms", 0, "lower"),
    "residual_loss_5": Goal("%", 0.1, "lower"),
    "residual_loss_10": Goal("%", 0.1, "lower"),
    "audio_concealed_5": Goal("%", None, "lower"),
    "audio_concealed_10": Goal("%", None, "lower"),
    "utilisation_1": Goal("share", 0.85, "higher"),
    "utilisation_2.5": Goal("share", 0.85, "higher"),
    "queue_delay_p95_ms_1": Goal("ms", 100, "lower"),
    "queue_delay_p95_ms_2.5": Goal("ms", 100, "lower"),
    "fairness": Goal("jain", 0.9, "higher"),
    "focus_switch_ms": Goal("ms", 400, "lower"),
    "slot_change_freeze_ms": Goal("ms", 250, "lower"),
    "pli_per_s_to_source": Goal("1/s", 5, "lower"),
    "nack_storm_other_loss": Goal("%", 1, "lower"),
    "clamp_accuracy": Goal("share", 0.85, "higher", 1.0),
    "unviewed_fullres_stop_s": Goal("s", 5, "lower"),
    "lip_sync_ms": Goal("ms", 40, "lower"),
    "temporal_drop_gap": Goal("packets", 0, "lower"),
    "speaker_event_ms": Goal("ms", 300, "lower"),
}
"""All that are judged, and two that stand beside them."""


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    value: float | None
    """None: could not be measured; `why` says why."""
    unit: str
    goal: float | None
    better: Literal["higher", "lower"]
    note: str = ""
    """How it was measured."""
    why: str = ""
    """Of a miss."""
    most: float | None = None

    @property
    def ok(self) -> bool:
        if self.goal is None:
            return True
        if self.value is None:
            return False
        if self.most is not None and self.value > self.most:
            return False
        return self.value >= self.goal if self.better == "higher" else self.value <= self.goal

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "name": self.name,
            "value": None if self.value is None else round(self.value, 4),
            "unit": self.unit,
            "goal": self.goal,
            "better": self.better,
            "ok": self.ok,
            "note": self.note,
        }
        if self.most is not None:
            found["most"] = self.most
        if not self.ok:
            found["why"] = self.why or "not known yet"
        return found


def row(name: str, value: float | None, note: str, why: str = "") -> Row:
    """A row of GOALS. `why`: what to say if it misses."""
    goal = GOALS[name]
    return Row(name, value, goal.unit, goal.goal, goal.better, note, why, goal.most)


def told(name: str, value: float | None, unit: str, note: str) -> Row:
    """A row that is not judged."""
    return Row(name, value, unit, None, "lower", note)


def failed(names: Iterable[str], why: str) -> list[Row]:
    return [row(name, None, "", why) for name in names]


def of_simulation(found: Iterable[dict[str, Any]]) -> list[Row]:
    """From what test_bandwidth_simulation.c writes."""
    return [
        Row(
            f"sim_{one['name'].removeprefix('bwe_')}",
            one["value"],
            one["unit"],
            one["goal"],
            one["better"],
            f"virtual time, several seeds, worst {one['worst']:g}",
            "the estimator, see tests/fastpath/c/test_bandwidth_simulation.c",
        )
        for one in found
    ]


def merged(rounds: Iterable[Iterable[Row]]) -> list[Row]:
    """The last of each name, in the order of the first."""
    found: dict[str, Row] = {}
    for rows in rounds:
        for one in rows:
            found[one.name] = replace(one)
    return list(found.values())


def table(rows: Iterable[Row]) -> str:
    """For a terminal."""
    lines = []
    for one in rows:
        sign = ">=" if one.better == "higher" else "<="
        goal = "" if one.goal is None else f"{sign} {one.goal:g}"
        if one.most is not None:
            goal = f"{one.goal:g} to {one.most:g}"
        value = "-" if one.value is None else f"{one.value:.4g}"
        mark = "" if one.goal is None else "ok" if one.ok else "MISSED"
        lines.append(f"{one.name:32} {value:>9} {one.unit:8} {goal:12} {mark}".rstrip())
        if not one.ok:
            lines.append(f"{'':42}{one.why or 'not known yet'}")
    return "\n".join(lines)
