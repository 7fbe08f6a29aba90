"""Pictures of the curves, if matplotlib is there."""

from pathlib import Path


def draw(curves: dict[str, list[tuple[float, float, str]]], folder: Path) -> list[Path]:
    try:
        import matplotlib
    except ImportError:
        return []
    matplotlib.use("Agg")
    from matplotlib import pyplot

    made = []
    titles = {
        "systems": ("Cost of one packet", "", "us of CPU"),
        "delay": ("Delay added by the server, 1 -> 100 video", "worker busy, percent", "ms"),
        "cost": ("Cost of one packet by load", "worker busy, percent", "us of CPU"),
        "receivers": ("Cost of one packet by receivers of one camera", "receivers", "us of CPU"),
        "throughput": ("Packets for one second of CPU", "receivers", "packets/s"),
        "workers": ("Cost of one packet by workers", "workers", "us of CPU"),
        "holding": ("What holding costs and gains", "held for, ms", "us of CPU; ms"),
    }
    for name, points in curves.items():
        figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
        title, x_label, y_label = titles.get(name, (name, "", ""))
        if name == "systems":
            labels = [label.replace("_", " ") for _, _, label in points]
            bars = axes.barh(labels, [y for _, y, _ in points], color="#3b6ea5")
            axes.bar_label(bars, fmt=" %.2f")
            axes.invert_yaxis()
            axes.set_xlabel(y_label)
        else:
            labels = list(dict.fromkeys(point[2] for point in points))
            for label in labels:
                line = sorted((x, y) for x, y, other in points if other == label)
                axes.plot([x for x, _ in line], [y for _, y in line], marker="o", label=label)
            axes.set(xlabel=x_label, ylabel=y_label)
            if name == "delay":  # from a tenth of a millisecond to what overload makes of it
                axes.set_yscale("log")
            else:
                axes.set_ylim(0, 1.15 * max(y for _, y, _ in points))
            if name in ("receivers", "throughput"):
                axes.set_xscale("log")
            if name in ("receivers", "throughput", "workers", "holding"):
                measured = sorted({x for x, _, _ in points})
                axes.set_xticks(measured, [f"{x:g}" for x in measured], minor=False)
                axes.minorticks_off()
            if len(labels) > 1:
                axes.legend()
        axes.set_title(title)
        axes.spines[["top", "right"]].set_visible(False)
        made.append(folder / f"{name}.png")
        figure.savefig(made[-1], dpi=120)
        pyplot.close(figure)
    return made
