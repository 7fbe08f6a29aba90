"""A machine for a test: a Debian that systemd boots in a container of its own, on this machine's network.

What it writes lies over its root in memory and is gone afterwards.
"""

import os
import secrets
import subprocess
import time
from pathlib import Path
from typing import Self

BOOT_S = 60.0
TRUST = (
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/ssl/certs",
    "/usr/local/share/ca-certificates",
    "/etc/pip.conf",
)
"""What a program in it needs to reach package registries the way this machine does."""


class Machine:
    """Booted within the `with`."""

    def __init__(self, root: Path, nspawn: Path, log: Path) -> None:
        self._name = f"sotto-{secrets.token_hex(4)}"
        self._root, self._nspawn, self._log = root, nspawn, log
        self._process: subprocess.Popen[bytes] | None = None
        self._leader = 0
        self._environment = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}

    def __enter__(self) -> Self:
        binds = [
            path
            for path in (*TRUST, self._environment.get("PIP_FIND_LINKS", ""))
            if path and Path(path).exists()
        ]
        command = [
            self._nspawn, "--quiet", "--register=no", "--keep-unit", "--boot", "--volatile=overlay",
            "--resolv-conf=off", "--timezone=off", "--link-journal=no", f"--machine={self._name}",
            "-D", self._root,
            *(f"--bind-ro={path}" for path in binds),
        ]  # fmt: skip
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        began = time.monotonic()
        while self._state() not in ("running", "degraded"):
            assert self._process.poll() is None, self._log.read_text(errors="replace")
            assert time.monotonic() - began < BOOT_S, self._log.read_text(errors="replace")
            time.sleep(0.2)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()  # systemd shuts down
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def run(self, command: str, *, status: int | None = 0, cwd: str = "/root", timeout_s: float = 300) -> str:
        """A line of shell as root in it; what it wrote. `status` None: whichever."""
        inside = ["nsenter", "-t", str(self._leader), "-m", "-u", "-i", "-p", "-r"]
        clean = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
            "HOME": "/root",
            **self._environment,
        }
        environment = ["env", "-i", *(f"{name}={value}" for name, value in clean.items())]
        done = subprocess.run(
            [*inside, *environment, "bash", "-c", f"cd {cwd} && {command}"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout_s, check=False,
        )  # fmt: skip
        assert status is None or done.returncode == status, f"{command}\n{done.stdout}"
        return done.stdout

    def put(self, source: Path, target: str) -> None:
        with source.open("rb") as file:
            subprocess.run(
                ["nsenter", "-t", str(self._leader), "-m", "-p", "cp", "/dev/stdin", target],
                stdin=file,
                check=True,
            )

    def _state(self) -> str:
        assert self._process is not None
        if not self._leader:
            children = (
                Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
            )
            # nspawn's child is the container's first process once it has become systemd.
            found = [
                child for child in children if Path(f"/proc/{child}/comm").read_text().strip() == "systemd"
            ]
            if not found:
                return "starting"
            self._leader = int(found[0])
        return self.run("systemctl is-system-running", status=None).strip()
