"""What Prometheus sees, with Prometheus: every figure documented, every rule and panel about one that
exists."""

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from control.config import load
from control.demo.process import free_port
from tests.cli.operator import until
from tests.patience import PATIENCE_S


@pytest.fixture(scope="module")
def page_url(running: Path) -> str:
    host, port = load(running, {}).http_address
    return f"http://{host}:{port}/metrics"


@pytest.fixture(scope="module")
def exposition(page_url: str) -> str:
    with urllib.request.urlopen(page_url, timeout=PATIENCE_S) as answer:
        return answer.read().decode()


@pytest.fixture(scope="module")
def tools(root: Path) -> Path:
    """Folder of prometheus and promtool."""
    return Path(subprocess.check_output([root / "tools/prometheus.sh"], text=True).splitlines()[-1])


def test_the_page_names_every_figure(root: Path, page_url: str):
    made = subprocess.check_output([sys.executable, root / "tools/metrics_page.py", page_url], text=True)
    if os.environ.get("SOTTO_UPDATE_METRICS"):
        (root / "docs/metrics.md").write_text(made)
    assert made == (root / "docs/metrics.md").read_text(), (
        "write it anew: SOTTO_UPDATE_METRICS=1 make test TESTS=tests/cli/test_figures.py"
    )


def test_promtool_finds_names_and_help_as_they_should_be(exposition: str, tools: Path):
    checked = subprocess.run(
        [tools / "promtool", "check", "metrics"], input=exposition, text=True, check=False
    )
    assert checked.returncode == 0


def test_no_label_is_of_a_person(exposition: str):
    assert "@" not in exposition
    assert "operated" not in exposition


def names_in(text: str) -> set[str]:
    return set(re.findall(r"\bsotto_[a-z0-9_]+", text))


def test_rules_and_panels_are_about_figures_that_exist(root: Path, exposition: str, tools: Path):
    rules = root / "packaging/prometheus-alerts.yml"
    subprocess.run([tools / "promtool", "check", "rules", rules], check=True)
    board = (root / "packaging/grafana-dashboard.json").read_text()
    made = subprocess.check_output([sys.executable, root / "tools/dashboard.py"], text=True)
    assert json.loads(made) == json.loads(board)
    known = names_in(exposition)
    said = names_in((root / "docs/operations.md").read_text())
    for asked in said | names_in(rules.read_text()) | names_in(board.replace(".*_dropped_total", "")):
        if asked not in ("sotto_worker_",):
            assert asked in known, asked


@pytest.fixture
def prometheus(page_url: str, tools: Path, root: Path, tmp_path: Path) -> Iterator[str]:
    """A real one that scrapes the server each second; its URL."""
    port = free_port()
    target = page_url.removeprefix("http://").removesuffix("/metrics")
    (tmp_path / "prometheus.yml").write_text(
        f"""
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{root / "packaging/prometheus-alerts.yml"}]
scrape_configs:
  - {{job_name: sotto, static_configs: [{{targets: ["{target}"]}}]}}
"""
    )
    running = subprocess.Popen(
        [
            tools / "prometheus",
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ]
    )
    yield f"http://127.0.0.1:{port}"
    running.terminate()
    running.wait(PATIENCE_S)


def ask(url: str, query: str) -> list[dict]:
    try:
        with urllib.request.urlopen(f"{url}/api/v1/query?query={query}", timeout=PATIENCE_S) as answer:
            return json.load(answer)["data"]["result"]
    except OSError:
        return []


def test_prometheus_scrapes_it_and_no_rule_is_pending(prometheus: str):
    until(lambda: [r["value"][1] for r in ask(prometheus, "sotto_ready")] == ["1"])
    until(lambda: ask(prometheus, "rate(sotto_worker_loop_busy_seconds_total[5s])"))
    with urllib.request.urlopen(f"{prometheus}/api/v1/rules", timeout=PATIENCE_S) as answer:
        rules = [rule for group in json.load(answer)["data"]["groups"] for rule in group["rules"]]
    assert len(rules) > 10
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
    assert not [rule["name"] for rule in rules if rule["state"] == "firing"]
