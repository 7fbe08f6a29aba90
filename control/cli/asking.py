"""Questions to the running server, over its Unix socket."""

import http.client
import json
import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from control import run_dir
from control.cli.main import Failure
from control.config import Config

TIMEOUT_S = 5.0
"""Control answers within milliseconds; a hung one should not hang the terminal."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = run_dir.connect(self._path, socket.SOCK_STREAM, TIMEOUT_S)


class Server:
    """The server that runs with this configuration. Failure (69) where there is none."""

    def __init__(self, config: Config) -> None:
        self.folder = config.server.data_dir / "run"

    @property
    def supervisor(self) -> int | None:
        """Its process id; None while nothing runs."""
        return run_dir.holder(run_dir.supervisor_lock(self.folder))

    def get(self, path: str, **query: str) -> Any:
        return self._ask("GET", path, query)

    def post(self, path: str, **query: str) -> Any:
        return self._ask("POST", path, query)

    def _ask(self, method: str, path: str, query: dict[str, str]) -> Any:
        connection = _UnixConnection(run_dir.operator_socket(self.folder))
        try:
            connection.request(method, f"{path}?{urlencode(query)}" if query else path)
            answer = connection.getresponse()
            told = json.loads(answer.read())
        except PermissionError:
            raise Failure(
                f"{self.folder} belongs to another user: run this as the one the server runs as",
                os.EX_NOPERM,
            ) from None
        except OSError:
            running = self.supervisor
            raise Failure(
                f"the server (process {running}) has no control process at the moment: try again in a second"
                if running
                else f"no server runs with the data folder {self.folder.parent}",
                os.EX_UNAVAILABLE,
            ) from None
        finally:
            connection.close()
        if answer.status != 200:
            raise Failure(str(told.get("error", f"the server answered {answer.status}")))
        return told
