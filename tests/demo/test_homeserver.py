"""The embedded homeserver is a real one, comes back as it was, and leaves nothing running."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from control.demo.homeserver import Homeserver
from control.demo.people import HomeserverClient, HomeserverRefused
from control.demo.process import StartFailed, free_port

if TYPE_CHECKING:
    from conftest import Synapse

CONFERENCE = "org.matrix.msc2359.conference"


async def test_members_without_power_may_announce_a_conference(synapse: Synapse) -> None:
    alice, bob = await synapse.accounts("alice", "bob")
    room = await synapse.room(alice, bob)
    state = f"/_matrix/client/v3/rooms/{room}/state"

    await synapse.client.request("PUT", f"{state}/{CONFERENCE}/{bob.user_id}", bob, {"conference_id": "x"})

    with pytest.raises(HomeserverRefused) as other_key:
        await synapse.client.request("PUT", f"{state}/{CONFERENCE}/{alice.user_id}", bob, {})
    assert other_key.value.status == 403
    with pytest.raises(HomeserverRefused) as name:
        await synapse.client.request("PUT", f"{state}/m.room.name", bob, {"name": "mine"})
    assert name.value.errcode == "M_FORBIDDEN"
    encryption = await synapse.client.request("GET", f"{state}/m.room.encryption", bob)
    assert encryption["algorithm"] == "m.megolm.v1.aes-sha2"


async def test_it_has_no_rate_limits_that_a_test_could_meet(synapse: Synapse) -> None:
    alice = await synapse.account("alice")
    room = await synapse.room(alice)
    for number in range(40):
        path = f"/_matrix/client/v3/rooms/{room}/send/org.example.note/{number}"
        await synapse.client.request("PUT", path, alice, {"n": number})


async def test_a_delayed_event_is_accepted(synapse: Synapse) -> None:
    alice = await synapse.account("alice")
    room = await synapse.room(alice)
    path = (
        f"/_matrix/client/v3/rooms/{room}/state/{CONFERENCE}/{alice.user_id}?org.matrix.msc4140.delay=60000"
    )
    assert "delay_id" in await synapse.client.request("PUT", path, alice, {})


def test_a_second_start_keeps_accounts_and_port(tmp_path: Path) -> None:
    with Homeserver(tmp_path / "hs") as first:
        account = asyncio.run(HomeserverClient(first.url, first.registration_secret).register("dora"))
        url, pid = first.url, first.pid
    assert pid is not None
    assert not Path(f"/proc/{pid}").exists()

    with Homeserver(tmp_path / "hs") as second:
        assert second.url == url
        who = asyncio.run(
            HomeserverClient(second.url).request("GET", "/_matrix/client/v3/account/whoami", account)
        )
        assert who["user_id"] == "@dora:localhost"


def test_a_port_in_use_is_an_error_one_can_read(tmp_path: Path) -> None:
    with socket.socket() as occupant:
        occupant.bind(("127.0.0.1", 0))
        occupant.listen()
        port = occupant.getsockname()[1]
        assert free_port(preferred=port) != port
        homeserver = Homeserver(tmp_path / "hs", port=port)
        with pytest.raises(StartFailed, match="homeserver"):
            homeserver.start()
        assert not homeserver.running()


@pytest.mark.netns
def test_it_runs_in_a_network_namespace(tmp_path: Path, namespace: str) -> None:
    inside = ["ip", "netns", "exec", namespace]
    with Homeserver(tmp_path / "hs", address="192.0.2.7", port=8008, prefix=inside) as homeserver:
        assert homeserver.url == "http://192.0.2.7:8008"
        assert homeserver.running()
        pid = homeserver.pid
    assert not Path(f"/proc/{pid}").exists()
