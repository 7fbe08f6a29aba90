"""A real Synapse for the demo and for tests: SQLite, one address, no federation, its own folder.

    with Homeserver(Path("build/demo/homeserver")) as homeserver:
        ... homeserver.url, homeserver.registration_secret ...

A folder used again keeps its accounts, rooms and (where it is still free) its port.
"""

from __future__ import annotations

import base64
import json
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from control.demo.process import Child, free_port

START_TIMEOUT_S = 120.0
"""Measured: 1.2 s on an idle core. Lower fails on a loaded machine; higher only delays bad news."""

UNLIMITED = {"per_second": 100_000, "burst_count": 100_000}


class Homeserver:
    """Synapse as a child process.

    `address`, `port`: where it listens; port 0 is the folder's last port, or any free one.
    `prefix`: goes before the command line (a network namespace); then `port` must be given.
    `public_url`: what clients are told, where that is not the address it listens on.
    `limited`: keep Synapse's stock rate limits, for tests that want to meet them.
    """

    def __init__(
        self,
        folder: Path,
        *,
        address: str = "127.0.0.1",
        port: int = 0,
        server_name: str = "localhost",
        public_url: str | None = None,
        prefix: Sequence[str] = (),
        limited: bool = False,
    ) -> None:
        if prefix and not port:
            raise ValueError("a free port cannot be found in another network namespace: name one")
        self.folder = folder.resolve()
        self.address = address
        self.server_name = server_name
        self.registration_secret = ""
        self._wanted_port = port
        self._port = 0
        self._public_url = public_url
        self._prefix = prefix
        self._limited = limited
        self._child: Child | None = None

    @property
    def url(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"http://{host}:{self._port}"

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    def running(self) -> bool:
        return self._child is not None and self._child.running()

    def start(self) -> None:
        """Return once it answers; raises process.StartFailed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        state = self._state()
        self.registration_secret = state["registration_secret"]
        self._port = self._wanted_port or free_port(self.address, preferred=state.get("port", 0))
        state["port"] = self._port
        _write_private(self.folder / "state.json", json.dumps(state))
        _write_private(self.folder / "signing.key", f"ed25519 a_demo {state['signing_seed']}\n")
        (self.folder / "log.yaml").write_text(json.dumps(_LOGGING))
        # JSON is YAML.
        _write_private(self.folder / "homeserver.yaml", json.dumps(self._config(state), indent=1))
        self._child = Child(
            "the homeserver",
            [sys.executable, "-m", "synapse.app.homeserver", "-c", str(self.folder / "homeserver.yaml")],
            self.folder / "homeserver.log",
            prefix=self._prefix,
            cwd=self.folder,
        )
        try:
            self._child.wait_until_http(f"{self.url}/_matrix/client/versions", START_TIMEOUT_S)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()
            self._child = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _state(self) -> dict[str, Any]:
        path = self.folder / "state.json"
        if path.exists():
            state: dict[str, Any] = json.loads(path.read_text())
            return state
        return {
            "registration_secret": secrets.token_urlsafe(32),
            "macaroon_secret": secrets.token_urlsafe(32),
            "form_secret": secrets.token_urlsafe(32),
            "signing_seed": base64.b64encode(secrets.token_bytes(32)).decode().rstrip("="),
        }

    def _config(self, state: dict[str, Any]) -> dict[str, Any]:
        config: dict[str, Any] = {
            "server_name": self.server_name,
            "public_baseurl": f"{self._public_url or self.url}/",
            "listeners": [
                {
                    "type": "http",
                    "port": self._port,
                    "bind_addresses": [self.address],
                    "resources": [{"names": ["client"], "compress": False}],
                }
            ],
            "database": {"name": "sqlite3", "args": {"database": str(self.folder / "homeserver.db")}},
            "media_store_path": str(self.folder / "media"),
            "log_config": str(self.folder / "log.yaml"),
            "pid_file": str(self.folder / "homeserver.pid"),
            "signing_key_path": str(self.folder / "signing.key"),
            "registration_shared_secret": state["registration_secret"],
            "macaroon_secret_key": state["macaroon_secret"],
            "form_secret": state["form_secret"],
            "report_stats": False,
            "trusted_key_servers": [],
            "suppress_key_server_warning": True,
            "federation_domain_whitelist": [],
            # Passwords of a demo, hashed quickly: 4 is bcrypt's least.
            "bcrypt_rounds": 4,
            "presence": {"enabled": False},
            # Delayed events (MSC4140): the end of a conference that nobody is left to announce.
            "max_event_delay_duration": "24h",
            "experimental_features": {"msc4143_enabled": True},
        }
        return config if self._limited else {**config, **_RATES}


_RATES: dict[str, Any] = {
    "rc_message": UNLIMITED,
    "rc_registration": UNLIMITED,
    "rc_admin_redaction": UNLIMITED,
    "rc_room_creation": UNLIMITED,
    "rc_delayed_event_mgmt": UNLIMITED,
    "rc_login": dict.fromkeys(("address", "account", "failed_attempts"), UNLIMITED),
    "rc_joins": dict.fromkeys(("local", "remote"), UNLIMITED),
    "rc_joins_per_room": UNLIMITED,
    "rc_invites": dict.fromkeys(("per_room", "per_user", "per_issuer"), UNLIMITED),
}

_LOGGING = {
    "version": 1,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"level": "WARNING", "handlers": ["console"]},
    "disable_existing_loggers": False,
}


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600, exist_ok=True)
    path.write_text(text)
