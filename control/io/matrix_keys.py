"""Keys of other people's devices, learnt so that one false device costs its owner alone.

matrix-nio believes what a homeserver passes on. A device whose keys are none (anybody can upload one) makes
it raise, or refuse the whole answer in which it stands, at every attempt: no new device would be known.
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import ClientError
from nio import AsyncClient, ErrorResponse, Event, KeysQueryResponse
from nio.api import Api

ASK_AGAIN_S: Final = 10.0
"""Between two questions about the devices of one person, of whom events come that no known device sealed.
Lower: somebody who sends such events, and whose homeserver answers slowly, holds up everybody's. Higher: what
a device sends that is newer than the last answer is not believed for longer."""
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


async def query_keys(client: AsyncClient, count: Callable[[str], None]) -> None:
    """Learns the devices of all who share an encrypted room with us.

    ClientError, TimeoutError or OSError when the homeserver cannot be reached; nothing else.
    """
    if client.olm is None or not client.should_query_keys:
        return
    wanted = sorted(client.users_for_key_query)
    if not await _poisoned(client.keys_query()):
        return
    for user_id in wanted:
        method, path, data = Api.keys_query(client.access_token, {user_id})
        if await _poisoned(client._send(KeysQueryResponse, method, path, data)):
            count("matrix_poison")
            # Known without devices until its owner changes them.
            client.olm.users_for_key_query.discard(user_id)


async def claim_keys(client: AsyncClient, count: Callable[[str], None]) -> None:
    """Begins Olm sessions anew where one is broken; raises as `query_keys`."""
    if client.olm is None or not client.should_claim_keys:
        return
    for user_id, devices in client.get_users_for_key_claiming().items():
        if await _poisoned(client.keys_claim({user_id: devices})):
            count("matrix_poison")
            for waiting in (client.olm.wedged_devices, client.olm.key_request_devices_no_session):
                waiting[:] = [device for device in waiting if device.user_id != user_id]


async def is_of_its_sender(
    client: AsyncClient, event: Event, room_id: str, count: Callable[[str], None], asked: Asked
) -> bool:
    """Whether the device that sealed a decrypted event is one of the person it is said to be from.

    Who relays an event says who sent it, and could say another; the keys of its device were signed by that
    device. A homeserver that cannot be asked is not a reason to refuse.
    """
    if client.olm is None:
        return True
    session = client.olm.inbound_group_store.get(room_id, event.sender_key, event.session_id)

    def known() -> bool:
        return session is not None and any(
            (device.curve25519, device.ed25519) == (event.sender_key, session.ed25519)
            for device in client.device_store.active_user_devices(event.sender)
        )

    if known():
        return True
    if (answered := asked.answered(event.sender)) is not None:
        return not answered
    client.olm.users_for_key_query.add(event.sender)  # a device may be newer than what we know
    try:
        await query_keys(client, count)
    except (ClientError, TimeoutError, OSError):
        asked.note(event.sender, False)
        return True
    asked.note(event.sender, True)
    return known()


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
