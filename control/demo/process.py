"""Child processes of the demo and of tests: they never outlive us, and are stopped by their own pid."""

from __future__ import annotations

import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

PORTS = range(20_000, 32_000)
"""Below those that Linux gives outgoing connections (net.ipv4.ip_local_port_range), above services'."""
POLL_S = 0.05
"""Between two looks at whether something is up. Lower takes from the core that starts it; higher waits."""


class StartFailed(Exception):
    """A process did not come up; the text says which, and shows the end of its log."""


class Child:
    """One process with its output in a log file.

    `prefix` goes before the command, for instance `["ip", "netns", "exec", NAME]`.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        prefix: Sequence[str] = (),
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self.prefix = list(prefix)
        with log.open("wb") as output:
            # setpriv: told to end when we are killed with no time to say goodbye.
            # A session of its own: Ctrl-C on the terminal reaches us alone, and we stop things in order.
            self._popen = subprocess.Popen(
                [*prefix, "setpriv", "--pdeathsig", "TERM", *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=env,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    def running(self) -> bool:
        return self._popen.poll() is None

    def wait_until_http(self, url: str, timeout_s: float) -> None:
        """Return when `url` answers 200; raise StartFailed when the process ends or `timeout_s` pass."""
        deadline = time.monotonic() + timeout_s
        while not self._answers(url):
            if not self.running():
                raise StartFailed(
                    f"{self.name} ended with code {self._popen.returncode}\n{self.last_lines()}"
                )
            if time.monotonic() > deadline:
                raise StartFailed(f"{self.name} was not ready after {timeout_s:.0f} s\n{self.last_lines()}")
            time.sleep(POLL_S)

    def _answers(self, url: str) -> bool:
        if self.prefix:  # another network namespace: only a process inside can ask
            ask = f"import urllib.request as r; r.urlopen({url!r}, timeout=1)"
            asked = subprocess.run(
                [*self.prefix, sys.executable, "-c", ask], stderr=subprocess.DEVNULL, check=False
            )
            return asked.returncode == 0
        try:
            with urllib.request.urlopen(url, timeout=1) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def last_lines(self, count: int = 15) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-count:]
        return "\n".join(f"    {line}" for line in [*lines, f"(the whole log: {self.log})"])

    def stop(self, timeout_s: float = 10.0) -> None:
        """SIGTERM, then SIGKILL when it has not ended after `timeout_s`. Safe to call twice."""
        if not self.running():
            return
        self._popen.terminate()
        try:
            self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()


def free_port(address: str = "127.0.0.1", preferred: int = 0) -> int:
    """A TCP port nobody listens on at `address`: `preferred` when that is free.

    Else one that no outgoing connection is given either, so that it is still free when it is bound.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    others = (PORTS.start + secrets.randbelow(len(PORTS)) for _ in range(100))
    for port in (*([preferred] if preferred else []), *others, 0):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise StartFailed(f"no free TCP port at {address}")
