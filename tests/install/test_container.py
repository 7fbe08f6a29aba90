"""packaging/Containerfile built and run by the commands of docs/operations.md, beside a real homeserver.

What differs is told in `adapted`: names, ports, the way to package registries, and limits of this machine.
"""

import json
import os
import re
import resource
import secrets
import shlex
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from control.demo.process import free_port
from tests.cli.operator import until
from tests.conftest import Synapse

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
"""What pip needs to know where a machine reaches package registries through a proxy of its own."""
PROCESSES = 4096


def steps(root: Path) -> list[str]:
    """The commands below "In a container"."""
    chapter = (root / "docs/operations.md").read_text().split("**In a container**", 1)[1]
    block = re.search(r"```sh\n(.*?)```", chapter, re.DOTALL)
    assert block is not None
    return block[1].replace("\\\n", " ").strip().splitlines()


class Containers:
    """What is called sotto in the commands has a name of the test's own."""

    def __init__(self, root: Path, runtime: str, folder: Path) -> None:
        self.name = f"sotto-check-{secrets.token_hex(4)}"
        self._root, self._runtime, self._folder = root, runtime, folder
        # Podman asks for more open files and processes than a machine may give, and then starts nothing.
        self._files = min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        limits = f'["nofile={self._files}:{self._files}", "nproc={PROCESSES}:{PROCESSES}"]'
        (folder / "containers.conf").write_text(f"[containers]\ndefault_ulimits = {limits}\n")

    def adapted(self, step: str) -> list[str]:
        words = shlex.split(step)
        assert words[0] == "podman"
        told: list[str] = []
        for word in words:
            if told[-1:] != ["--owner"]:  # that one is a user in the image
                word = re.sub(r"^sotto(?=$|:/)", self.name, word)
            word = word.replace("/etc/sotto:/etc/sotto", f"{self._folder}/etc:/etc/sotto")
            told.append(word.replace("nofile=65536", f"nofile={self._files}:{self._files}"))
        if "--ulimit" in told:  # those of containers.conf count no longer
            told[2:2] = ["--ulimit", f"nproc={PROCESSES}:{PROCESSES}"]
        if told[1] == "build":
            given = {name: value for name, value in os.environ.items() if name == "PIP_INDEX_URL"}
            given |= {"PIP_CERT": "/run/authorities.crt"} if AUTHORITIES.exists() else {}
            told[2:2] = [
                "--network=host", f"--volume={AUTHORITIES}:/run/authorities.crt:ro",
                *(f"--env={name}={value}" for name, value in given.items()),
            ]  # fmt: skip
        return [told[0], f"--runtime={self._runtime}", *(word for word in told[1:] if word != "-it")]

    def run(self, step: str, *more: str, status: int | None = 0) -> str:
        done = subprocess.run(
            [*self.adapted(step), *more],
            cwd=self._root, env={**os.environ, "CONTAINERS_CONF": str(self._folder / "containers.conf")},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert status is None or done.returncode == status, f"{step}\n{done.stdout}"
        return done.stdout


@pytest.fixture
def containers(root: Path, tmp_path: Path) -> Iterator[Containers]:
    runtime = subprocess.check_output([root / "tools/container.sh"], text=True).splitlines()[-1]
    (tmp_path / "etc").mkdir()
    made = Containers(root, runtime, tmp_path)
    try:
        yield made
    finally:
        made.run("podman rm -f -t 5 sotto", status=None)
        made.run("podman volume rm -f sotto", status=None)
        made.run("podman rmi -f sotto", status=None)


def test_the_image_serves(containers: Containers, root: Path, synapse: Synapse, tmp_path: Path) -> None:
    build, init, serve, doctor = steps(root)
    containers.run(build)

    http, secret = f"127.0.0.1:{free_port()}", tmp_path / "etc" / "secret"
    secret.write_text(synapse.homeserver.registration_secret)
    told = containers.run(
        init, "--yes", "--homeserver", synapse.url, "--http", http, "--user", containers.name,
        "--registration-secret-file", "/etc/sotto/secret",
    )  # fmt: skip
    assert "sotto.toml written" in told
    config = tmp_path / "etc" / "sotto.toml"
    config.write_text(config.read_text().replace("port = 40000", f"port = {free_port()}\nupgrade_port = 0"))

    containers.run(serve)
    url = f"http://{http}"

    def ready() -> bool:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    until(ready)
    found = json.loads(containers.run(doctor, "--json", status=None))
    assert [each["text"] for each in found if each["level"] == "error"] == []
    assert any("the server runs" in each["text"] for each in found)
    with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:
        figures = answer.read().decode()
    assert re.search(r"^sotto_ready 1", figures, re.MULTILINE), figures[:2000]
    with urllib.request.urlopen(url, timeout=5) as answer:
        assert b"<title>" in answer.read()

    # As the host's own processes see it: the user of the Containerfile, and an end in order.
    process = containers.run("podman inspect --format {{.State.Pid}} sotto").strip()
    assert os.stat(f"/proc/{process}").st_uid == 900
    containers.run("podman stop -t 30 sotto")
    assert containers.run("podman inspect --format {{.State.ExitCode}} sotto").strip() == "0"
