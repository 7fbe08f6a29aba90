"""When another connection is still worth an attempt."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from client import connections
from client.connections import Connections
from client.protocol import limits, messages


class Ears:
    def __init__(self) -> None:
        self.code: str | None = None

    def interrupted(self) -> None: ...

    def lost(self, code: str) -> None:
        self.code = code


async def test_attempts_go_on_while_the_first_connection_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=1000.0)
    clock.monotonic = lambda: clock.now
    asked: asyncio.Future[Callable[[], bool]] = asyncio.get_running_loop().create_future()

    async def resume(*arguments: Any) -> None:
        asked.set_result(arguments[-1])
        await asyncio.Event().wait()

    monkeypatch.setattr(connections, "time", clock)
    monkeypatch.setattr(connections, "resume", resume)
    first = SimpleNamespace(lasts=True)
    of = Connections(SimpleNamespace(), Ears(), dict)  # type: ignore[arg-type]
    of.link = first  # type: ignore[assignment]
    of.ticket = messages.Resume("token", "https://focus.example.org/resume")
    of._lost()
    wanted = await asked
    for _ in range(60):  # control is away for half an hour, and media goes on
        clock.now += 30
        assert wanted()
    first.lasts = False
    clock.now += limits.RESUME_S - 1
    assert wanted()
    clock.now += 2
    assert not wanted()
    of._moving.cancel()  # type: ignore[union-attr]
