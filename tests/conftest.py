"""Fixtures for all: the vectors' folder, uvloop, one real homeserver for the whole run."""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import pytest
import uvloop
from hypothesis import HealthCheck, settings

from control.demo.homeserver import Homeserver
from control.demo.people import Account, HomeserverClient

ROOT = Path(__file__).resolve().parents[1]

# What an example costs says how busy the machine is.
settings.register_profile("sotto", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sotto")


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests run on the loop the server runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def vectors() -> Path:
    """Packets and known answers from elsewhere; tests that need them skip where they are missing."""
    folder = ROOT.parent / "shared" / "vectors"
    if not folder.is_dir():
        pytest.skip("no test vectors beside this repository")
    return folder


@dataclass
class Synapse:
    """The embedded homeserver, as tests see it.

    Accounts get a number behind their name, so every test has people of its own.
    """

    homeserver: Homeserver
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def url(self) -> str:
        return self.homeserver.url

    @property
    def client(self) -> HomeserverClient:
        """For requests of one's own: `await synapse.client.request("GET", path, account)`."""
        return HomeserverClient(self.url, self.homeserver.registration_secret)

    async def account(self, name: str, *, admin: bool = False) -> Account:
        """A new account, logged in as one device."""
        return await self.client.register(f"{name}-{next(self._numbers)}", display_name=name, admin=admin)

    async def accounts(self, *names: str) -> list[Account]:
        return [await self.account(name) for name in names]

    async def room(self, owner: Account, *others: Account, encrypted: bool = True) -> str:
        """A room in which everyone may announce conferences; all have joined."""
        return await self.client.create_conference_room(owner, others, "test", encrypted=encrypted)


@pytest.fixture(scope="session")
def synapse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Synapse]:
    """A real Synapse without rate limits, started once for the run (1.4 s), on a free port."""
    with Homeserver(tmp_path_factory.mktemp("synapse")) as homeserver:
        yield Synapse(homeserver)


@pytest.fixture
def limited_synapse(tmp_path: Path) -> Iterator[Synapse]:
    """A Synapse of the test's own with the rate limits it has by default."""
    with Homeserver(tmp_path / "synapse", limited=True) as homeserver:
        yield Synapse(homeserver)


def without_namespaces(reason: str) -> NoReturn:
    """Ends a test that needs a network of its own: a run without the conference in browsers proves little.

    So it fails, unless SOTTO_WITHOUT_NAMESPACES says that this is known.
    """
    if os.environ.get("SOTTO_WITHOUT_NAMESPACES"):
        pytest.skip(reason)
    pytest.fail(
        f"{reason}; run as root, or set SOTTO_WITHOUT_NAMESPACES=1 to leave these tests out", pytrace=False
    )


@pytest.fixture
def namespace() -> Iterator[str]:
    """The name of a network namespace of the test's own, with 192.0.2.7/24 on its loopback device.

    Run something in it with `ip netns exec NAME ...`; nothing in it reaches anything outside.
    """
    if os.geteuid() != 0 or shutil.which("ip") is None:
        without_namespaces("making a network namespace needs root and iproute2")
    name = f"sotto-{secrets.token_hex(4)}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        inside = ["ip", "-n", name]
        subprocess.run([*inside, "link", "set", "lo", "up"], check=True)
        subprocess.run([*inside, "address", "add", "192.0.2.7/24", "dev", "lo"], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)
