"""`sotto explain` about calls that are over or were never let in."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from control.io.operator import OperatorSocket
from control.overview import explanations
from control.protocol import names
from control.protocol.callbook import CallBook
from control.protocol.reference import reference
from control.run_dir import prepare
from tests.cli.operator import sotto

ALICE = "@alice:example.org"


@pytest.fixture
async def config(tmp_path: Path):
    """Of a server that has refused Alice a moment ago: the real socket, the real book."""
    book = CallBook()
    now = asyncio.get_running_loop().time()
    book.refused("call", ALICE, 0, names.TICKET_EXPIRED, "The ticket is ten minutes old.", now)
    focus = cast(Any, SimpleNamespace(conferences={}, book=book))
    folder = prepare(tmp_path / "data" / "run")
    server = OperatorSocket(folder, dict, lambda who: explanations(focus, [], who), lambda _: None)
    await server.start()
    (tmp_path / "password").write_text("p")
    path = tmp_path / "sotto.toml"
    path.write_text(
        f'[homeserver]\nurl = "http://127.0.0.1:1"\nuser_id = "@sotto:x"\npassword_file = "password"\n'
        f'[server]\ndata_dir = "{tmp_path}/data"\n'
    )
    yield path
    await server.stop()


@pytest.mark.parametrize("who", [ALICE, reference("call"), reference("call").lower().replace("-", " ")])
async def test_why_somebody_was_not_let_in(config: Path, who: str):
    done = await asyncio.to_thread(sotto, "explain", who, "--config", config, status=1)
    assert f"call {reference('call')}, over" in done.stdout
    assert "(ticket_expired): The ticket is ten minutes old." in done.stdout
    assert "clock" in done.stdout


async def test_nothing_is_known_of_others(config: Path):
    done = await asyncio.to_thread(sotto, "explain", "@bob:example.org", "--config", config, status=68)
    assert "none of the latest calls was theirs" in done.stderr
