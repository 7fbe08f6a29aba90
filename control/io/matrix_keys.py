"""Keys of other people's devices, learnt so that one false device costs its owner alone.

matrix-nio believes what a homeserver passes on. A device whose keys are none (anybody can upload one) makes
it raise, or refuse the whole answer in which it stands, at every attempt: no new device would be known.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Final

from aiohttp import ClientError
from nio import AsyncClient, ErrorResponse, Event, KeysQueryResponse
from nio.api import Api

ASK_AGAIN_S: Final = 10.0
"""Between two questions about the devices of one person, of whom events come that no known device sealed.
Lower: somebody who sends such events, and whose homeserver answers slowly, holds up everybody's. Higher: what
a device sends that is newer than the last answer is not believed for longer."""
QUESTIONS_MAX: Final = 50
"""Homeservers asked about at one time; the connections to ours are 100, and /sync and answers need
some. Higher: they wait. Lower: fewer homeservers that answer slowly hold up the others."""
ASKED_MAX: Final = 1000
"""People who are remembered for that. Lower: who has many names asks more often. Higher: memory."""


class Asked:
    """About whom was asked of late, and whether there was an answer."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._answers: OrderedDict[str, tuple[float, bool]] = OrderedDict()

    def answered(self, user_id: str) -> bool | None:
        """None: not of late."""
        at, answered = self._answers.get(user_id, (float("-inf"), False))
        return answered if self._now() - at < ASK_AGAIN_S else None

    def note(self, user_id: str, answered: bool) -> None:
        self._answers.pop(user_id, None)
        self._answers[user_id] = self._now(), answered
        if len(self._answers) > ASKED_MAX:
            self._answers.popitem(last=False)


class KeyQuestions:
    """What is asked about devices: people of one homeserver in one question, of several homeservers at once.

    Ours asks theirs, which may take ten seconds to answer or to be given up. Whoever waits for an answer
    waits for the homeservers of those it is about.
    """

    def __init__(
        self, client: AsyncClient, count: Callable[[str], None], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._client, self._count, self._now = client, count, now
        self._running: dict[str, asyncio.Task[None]] = {}  # by homeserver
        self._about: dict[str, set[str]] = {}  # whom those are about
        self._changed: set[str] = set()  # of those, whose devices changed meanwhile
        self._unanswered: dict[str, float] = {}  # since when, by person
        self._at_one_time = asyncio.Semaphore(QUESTIONS_MAX)
        self._closed = False

    def begin(self) -> None:
        """Asks about everybody whose devices are to be learnt; waits for nothing."""
        if self._closed:
            return
        for server in {_server(user_id) for user_id in self._wanted()}:
            self._ask(server)

    def changed(self, users: Iterable[str]) -> None:
        """Devices of these are others now: an answer that is on its way may not know it yet."""
        asked = set().union(*self._about.values())
        self._changed |= asked & self._client.users_for_key_query & set(users)

    async def learn(self, users: Collection[str], anew: bool = False) -> None:
        """Returns when the devices of these people are known, as far as their homeservers answer.

        `anew`: also of those of whom there was no answer a moment ago. ClientError, TimeoutError or OSError
        when ours cannot be reached.
        """
        for user_id in users if anew else ():
            self._unanswered.pop(user_id, None)
        for server in {_server(user_id) for user_id in users}:
            for _ in range(2):  # the question that is asked may have been asked before they were wanted
                if not self._wanted() & set(users) & _people_of(server, users):
                    break
                await asyncio.shield(self._ask(server))

    async def close(self) -> None:
        self._closed = True
        for task in list(self._running.values()):
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    def _wanted(self) -> set[str]:
        """Not again those about whom there was no answer a moment ago."""
        now = self._now()
        self._unanswered = {who: at for who, at in self._unanswered.items() if now - at < ASK_AGAIN_S}
        return set(self._client.users_for_key_query) - self._unanswered.keys()

    def _ask(self, server: str) -> asyncio.Task[None]:
        if (running := self._running.get(server)) is not None:
            return running
        users = _people_of(server, self._wanted())
        self._about[server] = users
        task = self._running[server] = asyncio.create_task(self._question(server, users), name="matrix-keys")
        # Nobody may wait for it; the next answer to /sync asks again.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    async def _question(self, server: str, users: set[str]) -> None:
        client, olm = self._client, self._client.olm
        try:
            async with self._at_one_time:
                if await _poisoned(_query(client, users)):
                    for user_id in sorted(users):
                        if await _poisoned(_query(client, {user_id})):
                            self._count("matrix_poison")
                            # Known without devices until its owner changes them.
                            olm.users_for_key_query.discard(user_id)
            for user_id in users & olm.users_for_key_query:
                self._unanswered[user_id] = self._now()
            asyncio.get_running_loop().call_soon(self.begin)  # about those who were wanted meanwhile
        finally:
            del self._running[server], self._about[server]
            again = self._changed & users
            self._changed -= again
            for user_id in again:
                self._unanswered.pop(user_id, None)
            olm.users_for_key_query.update(again)


def _server(user_id: str) -> str:
    return user_id.partition(":")[2]


def _people_of(server: str, users: Iterable[str]) -> set[str]:
    return {user_id for user_id in users if _server(user_id) == server}


async def _query(client: AsyncClient, users: set[str]) -> object:
    method, path, data = Api.keys_query(client.access_token, users)
    return await client._send(KeysQueryResponse, method, path, data)


async def claim_keys(client: AsyncClient, count: Callable[[str], None]) -> None:
    """Begins Olm sessions anew where one is broken.

    ClientError, TimeoutError or OSError when the homeserver cannot be reached; nothing else.
    """
    if client.olm is None or not client.should_claim_keys:
        return
    for user_id, devices in client.get_users_for_key_claiming().items():
        if await _poisoned(client.keys_claim({user_id: devices})):
            count("matrix_poison")
            for waiting in (client.olm.wedged_devices, client.olm.key_request_devices_no_session):
                waiting[:] = [device for device in waiting if device.user_id != user_id]


def is_known_to_be_of_its_sender(client: AsyncClient, event: Event, room_id: str) -> bool:
    """Whether the device that sealed a decrypted event is one of the person it is said to be from.

    Who relays an event says who sent it, and could say another; the keys of its device were signed by that
    device.
    """
    if client.olm is None:
        return True
    session = client.olm.inbound_group_store.get(room_id, event.sender_key, event.session_id)
    return session is not None and any(
        (device.curve25519, device.ed25519) == (event.sender_key, session.ed25519)
        for device in client.device_store.active_user_devices(event.sender)
    )


async def is_of_its_sender(
    client: AsyncClient, event: Event, room_id: str, questions: KeyQuestions, asked: Asked
) -> bool:
    """As above; where it is not known, after asking. A homeserver that cannot be asked is not a reason to
    refuse."""
    if is_known_to_be_of_its_sender(client, event, room_id):
        return True
    if (answered := asked.answered(event.sender)) is not None:
        return not answered
    client.olm.users_for_key_query.add(event.sender)  # a device may be newer than what we know
    try:
        await questions.learn({event.sender}, anew=True)
    except (ClientError, TimeoutError, OSError):
        asked.note(event.sender, False)
        return True
    asked.note(event.sender, True)
    return is_known_to_be_of_its_sender(client, event, room_id)


async def _poisoned(request: Awaitable[object]) -> bool:
    """Whether the answer came, but matrix-nio could not take it."""
    try:
        answer = await request
    except (ClientError, TimeoutError, OSError):
        raise
    except Exception:  # matrix-nio has no common base of what it raises at malformed input
        return True
    response = answer.transport_response if isinstance(answer, ErrorResponse) else None
    return response is not None and response.status == 200
