"""packaging/grafana-dashboard.json from grafana-dashboard.toml beside it; `--write` replaces the file."""

import json
import sys
import tomllib
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "packaging"
COLUMNS = 24  # of Grafana's grid


def dashboard() -> dict[str, object]:
    rows = tomllib.loads((FOLDER / "grafana-dashboard.toml").read_text())["row"]
    panels: list[dict[str, object]] = []
    top = 0
    for row in rows:
        grid = {"h": 1, "w": COLUMNS, "x": 0, "y": top}
        panels.append({"type": "row", "title": row["title"], "collapsed": False, "gridPos": grid})
        top += 1
        small = all(panel["kind"] != "timeseries" for panel in row["panel"])
        width, height = (6, 4) if small else (12, 8)
        for index, panel in enumerate(row["panel"]):
            down, x = divmod(index * width, COLUMNS)
            panels.append(_panel(panel, {"h": height, "w": width, "x": x, "y": top + down * height}))
        top += (len(row["panel"]) * width + COLUMNS - 1) // COLUMNS * height
    for number, panel in enumerate(panels, 1):
        panel["id"] = number
    return {
        "title": "Sotto",
        "uid": "sotto",
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [{"name": "datasource", "type": "datasource", "query": "prometheus"}]},
        "panels": panels,
    }


def _panel(panel: dict[str, object], grid: dict[str, int]) -> dict[str, object]:
    queries = panel["queries"]
    assert isinstance(queries, dict)
    return {
        "type": panel["kind"],
        "title": panel["title"],
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "gridPos": grid,
        "fieldConfig": {"defaults": {"unit": panel["unit"], "min": 0}, "overrides": []},
        "targets": [
            {"expr": expression, "legendFormat": legend or panel["title"], "refId": chr(65 + number)}
            for number, (legend, expression) in enumerate(queries.items())
        ],
    }


if __name__ == "__main__":
    text = json.dumps(dashboard(), indent=1) + "\n"
    if "--write" in sys.argv:
        (FOLDER / "grafana-dashboard.json").write_text(text)
    else:
        sys.stdout.write(text)
