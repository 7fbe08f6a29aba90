"""docs/metrics.md from what a running server says: python tools/metrics_page.py http://127.0.0.1:8450/metrics"""

import sys
import urllib.request

from control.metrics import CONTROL_COUNTERS

HEAD = """# Metrics

What `/metrics` says, for Prometheus. Made from a running server (`tools/metrics_page.py`), checked by a test.
Counters are totals since their process began; a worker's go on over its death, because they stand in shared
memory. Labels come from small fixed sets: never a user, a room or an address.

Rules are in [prometheus-alerts.yml](../packaging/prometheus-alerts.yml), a dashboard in
[grafana-dashboard.json](../packaging/grafana-dashboard.json).
"""
GROUPS = (
    ("Workers: what moves", "sotto_worker_"),
    ("Control: conferences, Matrix, members", "sotto_"),
    ("The control process itself", "process_"),
)


def families(exposition: str) -> dict[str, tuple[str, str, set[str]]]:
    """(kind, help, labels) by name, of the text format."""
    kinds: dict[str, str] = {}
    helps: dict[str, str] = {}
    labels: dict[str, set[str]] = {}
    for line in exposition.splitlines():
        if line.startswith("# HELP "):
            _, _, name, text = line.split(" ", 3)
            helps[name] = text
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ", 3)
            kinds[name] = kind
        elif line and not line.startswith("#"):
            name, _, rest = line.partition("{")
            if rest:
                found = {pair.partition("=")[0] for pair in rest.rpartition("}")[0].split(",")} - {"le"}
                family = name.removesuffix("_bucket") if kinds.get(name.removesuffix("_bucket")) else name
                labels.setdefault(family, set()).update(found)
    return {name: (kinds.get(name, ""), text, labels.get(name, set())) for name, text in helps.items()}


def page(exposition: str) -> str:
    found = {n: v for n, v in families(exposition).items() if not n.endswith("_created")}
    lines = [HEAD]
    for title, prefix in GROUPS:
        names = sorted(name for name in found if name.startswith(prefix))
        lines += [f"## {title}", "", "| Name | Kind | Labels | Meaning |", "|---|---|---|---|"]
        for name in names:
            kind, text, labels = found.pop(name)
            # A counter that has counted nothing yet shows no labels.
            known = CONTROL_COUNTERS.get(name.removeprefix("sotto_").removesuffix("_total"))
            labels |= {known.label} - {""} if known is not None else set()
            lines.append(f"| `{name}` | {kind} | {' '.join(sorted(labels)) or '-'} | {text} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    with urllib.request.urlopen(sys.argv[1], timeout=10) as answer:
        sys.stdout.write(page(answer.read().decode()))
