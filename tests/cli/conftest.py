"""A server that `sotto init` configured and `sotto serve` runs, beside the real homeserver."""

import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from control.config import load
from control.demo.process import free_port
from tests.cli.operator import SOTTO, sotto, until
from tests.conftest import Synapse
from tests.patience import PATIENCE_S


@pytest.fixture(scope="package")
def settled(synapse: Synapse, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration that `sotto init` made, with an account of its own."""
    folder = tmp_path_factory.mktemp("operator")
    secret = folder / "secret"
    secret.write_text(synapse.homeserver.registration_secret)
    path = folder / "sotto.toml"
    said = sotto(
        "init", "--yes", "--config", path, "--homeserver", synapse.url, "--user", "operated",
        "--registration-secret-file", secret, "--http", f"127.0.0.1:{free_port()}",
    ).stdout  # fmt: skip
    assert "@operated:localhost can log in" in said
    path.write_text(path.read_text().replace("port = 40000", 'port = 0\nlisten = ["127.0.0.1"]'))
    return path


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


@pytest.fixture(scope="package")
def running(settled: Path) -> Iterator[Path]:
    """The server, started and ready."""
    with (settled.parent / "log").open("w") as log:
        server = subprocess.Popen([*SOTTO, "serve", "--config", settled, "--log-format", "json"], stderr=log)
    try:
        host, port = load(settled, {}).http_address
        until(lambda: answers(f"http://{host}:{port}/readyz"))
        yield settled
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(PATIENCE_S) == 0
