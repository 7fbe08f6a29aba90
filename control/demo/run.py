"""The whole demo as one object: a homeserver, a bot, people in an encrypted room, and Sotto serving them.

    with Demo(Path("build/demo")) as demo:
        ... demo.urls["alice"] ...

Used by `python -m control.demo`, by its --check and by tests. Each process is a child of the caller.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TextIO

from control.demo.homeserver import Homeserver
from control.demo.people import HomeserverClient
from control.demo.process import Child, StartFailed, free_port

PEOPLE = ("alice", "bob", "carol")
BOT = "sotto"
READY_TIMEOUT_S = 120.0
"""From starting the server to /readyz: a first sync and a few keys. Lower fails on a loaded machine."""
WORKERS_AT_MOST = 4
"""A demo of three people: more workers are more processes to look at, fewer hide what several do."""


class Demo:
    """`folder` keeps accounts, rooms and ports between starts; one demo at a time may use it.

    `address`: where the homeserver and the web page listen (loopback, or an address in a test's namespace).
    `media_address`: where media go; the machine's own address unless told, because Firefox
    does not connect to a server on a loopback address.
    `key_transport`: "timeline" or "to-device". `program`: a copy of this one that the server runs.
    `embed_in`: whose pages may show the page in a frame.
    `say` is told about progress, one line at a time.
    """

    def __init__(
        self,
        folder: Path,
        *,
        people: Sequence[str] = PEOPLE,
        address: str = "127.0.0.1",
        media_address: str | None = None,
        key_transport: str = "timeline",
        workers: int | None = None,
        program: Path | None = None,
        embed_in: Sequence[str] = (),
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.folder = folder.resolve()
        self.address = address
        self.media_address = media_address or own_address(address)
        self.homeserver = Homeserver(self.folder / "homeserver", address=address)
        self.server: Child | None = None
        self.urls: dict[str, str] = {}
        self._people = list(people)
        self._key_transport = key_transport
        self._program = program
        self._embed_in = list(embed_in)
        self._workers = workers or min(WORKERS_AT_MOST, os.cpu_count() or 1)
        self._say = say
        self._lock: TextIO | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Return when every URL works; raises process.StartFailed."""
        self._take_folder()
        with self._step("Starting the homeserver"):
            self.homeserver.start()
        self._say(f"    {self.homeserver.url}, process {self.homeserver.pid}")
        if not self._stage_is_set():
            with self._step(f"Making the bot, {', '.join(self._people)} and their room"):
                asyncio.run(self._set_stage())
        port = self._write_config()
        with self._step("Starting Sotto"):
            self.server = self._start_server(port)
        self.urls = {name: f"http://{self._host()}:{port}/?demo={name}" for name in self._people}

    def stop(self) -> None:
        """In reverse: first Sotto, which says goodbye to the homeserver, then that."""
        if self.server is not None:
            with self._step("Stopping Sotto"):
                self.server.stop()
            self.server = None
        if self.homeserver.running():
            with self._step("Stopping the homeserver"):
                self.homeserver.stop()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def what_ended(self) -> str | None:
        """A text about the process that ended by itself, None while all run."""
        if not self.homeserver.running():
            return "the homeserver ended by itself"
        if self.server is None or not self.server.running():
            return "Sotto ended by itself" + (f"\n{self.server.last_lines()}" if self.server else "")
        return None

    @contextmanager
    def _step(self, text: str) -> Iterator[None]:
        begun = time.monotonic()
        self._say(f"==> {text}")
        yield
        self._say(f"    done in {time.monotonic() - begun:.1f} s")

    def _host(self) -> str:
        return f"[{self.address}]" if ":" in self.address else self.address

    def _take_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self.folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            self._lock = None
            raise StartFailed(f"another demo is running in {self.folder}") from None

    def _stage_is_set(self) -> bool:
        with contextlib.suppress(OSError, ValueError):
            return set(json.loads((self.folder / "people.json").read_text())["people"]) == set(self._people)
        return False

    async def _set_stage(self) -> None:
        """Register everybody and make the room. people.json is written last: it says that all is there."""
        client = HomeserverClient(self.homeserver.url, self.homeserver.registration_secret)
        # A room of other people, or a start that was interrupted, leaves names taken: then take longer ones.
        known = (self.folder / "bot.password").exists()
        suffix = f"-{secrets.token_hex(3)}" if known else ""
        password = secrets.token_urlsafe(18)
        _write_private(self.folder / "bot.password", password + "\n")
        bot = await client.register(BOT + suffix, password=password, display_name="Sotto")
        people = [
            await client.register(name + suffix, display_name=name.capitalize()) for name in self._people
        ]
        room_id = await client.create_conference_room(people[0], people[1:], "Sotto demo")
        for account in (bot, *people):
            await client.logout(account)
        stage = {
            "room_id": room_id,
            "bot": bot.user_id,
            "people": {
                name: {"user_id": account.user_id, "password": account.password}
                for name, account in zip(self._people, people, strict=True)
            },
        }
        _write_private(self.folder / "people.json", json.dumps(stage, indent=1))

    def _write_config(self) -> int:
        """The server's own configuration file; returns its HTTP port, last time's if that is free."""
        config = self.folder / "sotto.toml"
        ports = self.folder / "http.port"
        last = int(ports.read_text()) if ports.exists() else 0
        port = free_port(self.address, preferred=last)
        ports.write_text(str(port))
        bot = json.loads((self.folder / "people.json").read_text())["bot"]
        web = Path(__file__).resolve().parents[2] / "web" / "dist"
        config.write_text(
            _toml(
                {
                    "homeserver": {
                        "url": self.homeserver.url,
                        "user_id": bot,
                        "password_file": "bot.password",
                    },
                    "server": {
                        "data_dir": "data",
                        "http": f"{self._host()}:{port}",
                        "workers": self._workers,
                        "metrics": "open",  # the check's browsers read it from their own network
                    },
                    "media": {"listen": [self.media_address], "port": 0, "advertise": [self.media_address]},
                    "client": {
                        "web_dir": str(web),
                        "key_transport": self._key_transport,
                        "embed_in": self._embed_in,
                    },
                    "demo": {"people": "people.json"},
                }
            )
        )
        return port

    def _start_server(self, port: int) -> Child:
        # Before the demo's browsers, which take all there is: a server has a machine of its own. One that is
        # kept from its core says that it is overloaded, and turns people away.
        first = ["nice", "-n", "-20"] if os.geteuid() == 0 else []
        server = Child(
            "Sotto",
            [*first, sys.executable, "-m", "control", "serve", "--config", str(self.folder / "sotto.toml")],
            self.folder / "sotto.log",
            cwd=self._program,
        )
        try:
            server.wait_until_http(f"http://{self._host()}:{port}/readyz", READY_TIMEOUT_S)
        except BaseException:
            server.stop()
            raise
        return server


def own_address(fallback: str) -> str:
    """The address this machine would send from, `fallback` when it has no network. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # TEST-NET-1: connecting a UDP socket only asks the routing table
        except OSError:
            return fallback
        return str(probe.getsockname()[0])


def _toml(tables: dict[str, dict[str, Any]]) -> str:
    """Tables of strings, numbers and lists of strings as TOML, which spells these as JSON does."""
    lines: list[str] = []
    for table, values in tables.items():
        lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items()), ""]
    return "\n".join(lines)


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600, exist_ok=True)
    path.write_text(text)
