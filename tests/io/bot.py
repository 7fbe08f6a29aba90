"""A running bot at a homeserver, and people with clients of the same library."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from nio import AsyncClient, AsyncClientConfig, RoomCreateResponse

from control.demo.people import Account
from control.io.matrix import MatrixBot
from control.io.matrix_account import SyncPosition
from control.io.matrix_signing import DeviceSigning
from control.protocol.events import MatrixCallEvent
from tests.conftest import Synapse
from tests.patience import PATIENCE_S

CALL = {"call_id": "c1", "party_id": "D1", "version": "1"}


class Rig:
    """A running bot; `event()` waits for the next thing it delivers, `noted()` until it is done with that."""

    def __init__(self, client: AsyncClient, data_dir: Path, signing: DeviceSigning | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self.events: asyncio.Queue[MatrixCallEvent] = asyncio.Queue()
        self.bot = MatrixBot(client, SyncPosition(data_dir), self.hears, self._count, signing=signing)
        self.user_id = client.user_id
        self._asked, self._told_in, self._waits = 0, 0, False
        self._fetch, self.bot._fetch = self.bot._fetch, self._counting
        self.task = asyncio.create_task(self.bot.run())

    def hears(self, event: MatrixCallEvent) -> None:
        self.events.put_nowait(event)
        # Of an answer that is handled but for what somebody had to be asked about.
        self._told_in = self._asked - self._waits

    def _count(self, name: str) -> None:
        self.counts[name] += 1
        self._told_in = self._asked

    async def _counting(self, since: str | None, full_state: bool) -> object:
        self._asked += 1
        self._waits = True
        try:
            return await self._fetch(since, full_state)
        finally:
            self._waits = False

    async def noted(self) -> None:
        """Until the answer with the last thing that it told of is handled whole: it asks for the next."""
        async with asyncio.timeout(PATIENCE_S):
            while self._asked == self._told_in:  # noqa: ASYNC110 - seldom, and nobody else waits for it
                await asyncio.sleep(0.01)

    async def event(self) -> MatrixCallEvent:
        async with asyncio.timeout(PATIENCE_S):
            return await self.events.get()

    async def stop(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task
        await self.bot.stop()


async def somebody(synapse: Synapse, tmp_path: Path) -> AsyncClient:
    client = await device_of(synapse, await synapse.account("alice"), tmp_path, "alice")
    await client.keys_upload()
    return client


async def device_of(synapse: Synapse, account: Account, tmp_path: Path, name: str) -> AsyncClient:
    """A new one, whose keys nobody knows yet."""
    folder = tmp_path / name
    folder.mkdir()
    client = AsyncClient(
        synapse.url,
        account.user_id,
        store_path=str(folder),
        config=AsyncClientConfig(encryption_enabled=True),
    )
    await client.login(account.password)
    await client.sync()
    return client


async def until(client: AsyncClient, wanted: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not wanted():
            await client.sync(timeout=1000)
            if client.should_query_keys:
                await client.keys_query()


async def direct_room(person: AsyncClient, bot: str, encrypted: bool) -> str:
    """As the browser client makes it: the bot in createRoom's invitations."""
    state = [{"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}]
    answer = await person.room_create(invite=[bot], is_direct=True, initial_state=state if encrypted else [])
    assert isinstance(answer, RoomCreateResponse)
    room_id: str = answer.room_id

    def joined() -> bool:
        room = person.rooms.get(room_id)
        return room is not None and bot in room.users and bot not in room.invited_users

    await until(person, joined)
    return room_id
