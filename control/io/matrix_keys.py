"""Keys of other people's devices, learnt so that one false device costs its owner alone.

matrix-nio believes what a homeserver passes on. A device whose keys are none (anybody can upload one) makes
it raise, or refuse the whole answer in which it stands, at every attempt: no new device would be known.
"""

from collections.abc import Awaitable, Callable

from aiohttp import ClientError
from nio import AsyncClient, ErrorResponse, KeysQueryResponse
from nio.api import Api


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
