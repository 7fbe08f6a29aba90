"""The capacity table of docs/operations.md from the figures of `make bench`.

`python tools/capacity.py build/bench.json` prints it; `--write` puts it into the page.
"""

import json
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs/operations.md"
BEGIN, END = "<!-- capacity: tools/capacity.py -->", "<!-- end of capacity -->"
LOAD = 0.7
"""Of a core, in a busy hour. Higher: no room for a burst of key frames. Lower: cores that idle."""
MOST = 2000
"""Members of one worker: its tables hold no more (fastpath/limits.h)."""
AUDIO, THUMBNAIL, FULL = 50, 23, 150
"""Packets a second: Opus, a thumbnail of 150 kbit/s at 15/s, a picture of 1.25 Mbit/s at 30/s."""


def meeting(people: int) -> int:
    """Packets a second to one of them: everybody's sound, all thumbnails, one of them large."""
    return (people - 1) * AUDIO + (people - 2) * THUMBNAIL + FULL


SHAPES = (
    ("Lecture: one picture in full and its sound, to", "fanout_video_us", FULL + AUDIO, "viewers"),
    ("Radio: three people speak, to", "audio_room_us", 3 * AUDIO, "listeners"),
    (
        "Meetings of 20: everybody's sound and thumbnail, one large picture each",
        "meeting_20_us",
        meeting(20),
        "people",
    ),
    ("Meetings of 50, the same", "meeting_50_us", meeting(50), "people"),
)


def table(figures: dict[str, float | None], source: str) -> str:
    lines = [
        BEGIN,
        f"One core at {LOAD:.0%}, from `{source}` by `tools/capacity.py`; `make bench` measures yours. Sizes"
        " are for conferences in which everybody sends and sees as much as they may.",
        "",
        "| | one packet costs | to each, a second | one core carries |",
        "|---|---|---|---|",
    ]
    for what, name, packets, who in SHAPES:
        cost = figures.get(name)
        if cost is None:
            continue
        carried = int(LOAD * 1e6 / (cost * packets))
        # Two figures are all that such an estimate is worth.
        digits = max(len(str(carried)) - 2, 0)
        shown = min(round(carried, -digits), MOST)
        lines.append(f"| {what} | {cost:.1f} us | {packets} packets | {shown} {who} |")
    lines.append("")
    if (joins := figures.get("joins_per_s")) is not None:
        lines.append(f"- Joins: {joins:.0f} a second, by control, which has one core whatever there are.")
    if (memory := figures.get("kb_per_participant")) is not None:
        lines.append(
            f"- Memory: {memory:.0f} KiB for each participant, beside 57 MiB of tables for each worker."
        )
    if (scaling := figures.get("two_workers_scaling")) is not None:
        lines.append(f"- Two workers carry {scaling:.1f} times what one does.")
    return "\n".join([*lines, END])


def main() -> None:
    path = Path(sys.argv[1])
    read = json.loads(path.read_text())
    rows = read["rows"] if isinstance(read, dict) else read
    made = table({row["name"]: row["value"] for row in rows}, path.name)
    if "--write" not in sys.argv:
        print(made)
        return
    page = PAGE.read_text()
    before, rest = page.split(BEGIN, 1)
    PAGE.write_text(before + made + rest.split(END, 1)[1])


if __name__ == "__main__":
    main()
