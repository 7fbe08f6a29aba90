"""Two Python clients that join the demo beside the browsers, with sealed RTP among themselves."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from control.demo.figures import Row
from control.demo.run import Demo

NAMES = ("erin", "frank")
STAY_S = 35.0
"""How long each takes part. Higher: the check takes longer. Lower: a busy machine has no pictures yet."""
APART_S = 1.0
"""The second comes so long after the first: a late joiner."""
LIMIT_S = 90.0


@dataclass(slots=True)
class Visit:
    """What the two reported when they left, by name; empty for one that failed."""

    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    shown: int = 0
    """Sources of the two that the browsers showed as decrypting."""


async def visit(demo: Demo) -> dict[str, dict[str, Any]]:
    """Returns when both have left."""
    stage = json.loads((demo.folder / "people.json").read_text())
    with tempfile.TemporaryDirectory() as folder:
        stays = (
            _stay(stage, demo.homeserver.url, name, at * APART_S, Path(folder))
            for at, name in enumerate(NAMES)
        )
        return dict(zip(NAMES, await asyncio.gather(*stays), strict=True))


async def _stay(
    stage: dict[str, Any], homeserver: str, name: str, after: float, folder: Path
) -> dict[str, Any]:
    await asyncio.sleep(after)
    who, report = stage["people"][name], folder / f"{name}.json"
    words = ["-m", "client", "join", stage["room_id"], "--homeserver", homeserver, "--user", who["user_id"]]
    words += ["--send", "pattern", "--sealed", "--for", str(STAY_S), "--report", str(report), "--quiet"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, env={**os.environ, "SOTTO_PASSWORD": who["password"]}
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
    return json.loads(report.read_text()) if report.exists() else {}


def rows(seen: Visit, browsers: dict[str, int]) -> list[Row]:
    """`browsers`: member numbers of those who gave keys, by name."""
    reports = [report for report in seen.reports.values() if report]
    numbers = {report["member"] for report in reports}
    tiles = [tile for report in reports for tile in report["tiles"]]
    of_each_other = [tile for tile in tiles if tile["member"] in numbers]
    of_browsers = [tile for tile in tiles if tile["member"] in browsers.values()]
    refused = sum(
        sum(tile["refused"].get(why, 0) for why in ("wrong key", "not encrypted")) for tile in tiles
    )
    sent = {"sealed": 0, "frames": 0}
    for report in reports:
        for each in report["sent"]:
            sent["sealed" if each["source"].endswith("sealed") else "frames"] += each["packets"]
    wanted = 2 * len(browsers) * len(NAMES)
    return [
        Row(
            "sealed clients: sources of each other opened sealed", _opened(of_each_other, "sealed"), "of 4", 4
        ),
        Row(
            "sealed clients: sources of the browsers opened as frames",
            _opened(of_browsers, "frames"),
            f"of {wanted}",
            wanted,
        ),
        Row("sealed clients: packets and frames that no key fits", refused, "packets", 0),
        Row("sealed clients: sealed packets sent", sent["sealed"], "packets", 500, "higher"),
        Row(
            "sealed clients: packets of frames sent, for the browsers",
            sent["frames"],
            "packets",
            500,
            "higher",
        ),
        Row("browsers: sources of the sealed clients decrypting", seen.shown, f"of {wanted}", wanted),
    ]


def _opened(tiles: list[dict[str, Any]], form: str) -> int:
    return sum(
        tile["form"] == form and tile["state"] == "decrypting" and tile["opened"] > 0 for tile in tiles
    )
