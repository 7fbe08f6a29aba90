"""Pictures of bandwidth over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt

Curve = Sequence[tuple[float, float]]
COLOURS = ("tab:green", "tab:blue", "tab:orange")


def plot(path: Path, title: str, capacity: Curve, curves: Mapping[str, Curve], delay: Curve = ()) -> None:
    """Rates in bit/s, delays in ms, all over seconds. `capacity`: steps, the last one ends the picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(figsize=(10, 4.5))
    axes.step(*_split(capacity, 1e6), where="post", color="black", linewidth=1, label="bottleneck")
    for (label, curve), colour in zip(curves.items(), COLOURS, strict=False):
        axes.plot(*_split(curve, 1e6), color=colour, linewidth=1.2, label=label)
    top = max((rate for _at, rate in capacity), default=1e6) / 1e6
    axes.set(title=title, xlabel="s", ylabel="Mbit/s", xlim=(capacity[0][0], capacity[-1][0]))
    axes.set_ylim(0, 1.6 * top)
    axes.grid(alpha=0.3)
    if delay:
        right = axes.twinx()
        right.plot(*_split(delay, 1), color="tab:red", linewidth=0.6, alpha=0.5, label="queue (right)")
        right.set(ylabel="ms", ylim=(0, max(200, 1.2 * max(value for _at, value in delay))))
        right.legend(loc="upper right", fontsize=8)
    axes.legend(loc="upper left", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _split(curve: Curve, unit: float) -> tuple[list[float], list[float]]:
    return [at for at, _value in curve], [value / unit for _at, value in curve]
