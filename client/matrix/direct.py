"""The direct-message room with the focus: found again, or made with the focus in the invite list."""

from typing import Any
from urllib.parse import quote

from client.errors import Trouble
from client.matrix.homeserver import Homeserver
from client.protocol import limits

_ENCRYPTION = {
    "type": "m.room.encryption",
    "state_key": "",
    "content": {"algorithm": "m.megolm.v1.aes-sha2"},
}


async def direct_room(homeserver: Homeserver, focus: str) -> str:
    """Its id, once the focus is in it and it is known to be encrypted; Trouble "focus_absent" otherwise."""
    room_id = await _find(homeserver, focus) or await _create(homeserver, focus)

    def ready() -> bool:
        return homeserver.joined(room_id, focus) and homeserver.encrypted(room_id)

    if not await homeserver.until(ready, limits.FOCUS_JOIN_S):
        raise Trouble("focus_absent", f"The conference server {focus} does not come to its chat.")
    return room_id


def _path(homeserver: Homeserver) -> str:
    return f"/_matrix/client/v3/user/{quote(homeserver.user_id)}/account_data/m.direct"


async def _direct(homeserver: Homeserver) -> dict[str, list[Any]]:
    status, answer = await homeserver.request("GET", _path(homeserver))
    if status != 200:
        return {}
    return {user: rooms for user, rooms in answer.items() if isinstance(rooms, list)}


async def _find(homeserver: Homeserver, focus: str) -> str | None:
    """Nobody else may be in it: signalling names the addresses of this device."""
    usable = [
        room_id
        for room_id in (await _direct(homeserver)).get(focus, [])
        if isinstance(room_id, str)
        and homeserver.joined(room_id)
        and homeserver.people(room_id) == {homeserver.user_id, focus}
        and homeserver.encrypted(room_id)
    ]
    joined = [room_id for room_id in usable if homeserver.joined(room_id, focus)]
    return next(iter([*joined, *usable]), None)


async def _create(homeserver: Homeserver, focus: str) -> str:
    body = {
        "preset": "private_chat",
        "is_direct": True,
        "invite": [focus],
        "initial_state": [_ENCRYPTION],
    }
    status, answer = await homeserver.request("POST", "/_matrix/client/v3/createRoom", body)
    if status != 200 or not isinstance(answer.get("room_id"), str):
        raise Trouble(
            "homeserver_refused",
            f"No chat with {focus} could be made: {answer.get('errcode', status)}.",
        )
    room_id: str = answer["room_id"]
    direct = await _direct(homeserver)
    direct[focus] = [*direct.get(focus, []), room_id]
    # Losing this note costs a new room at the next join, no more.
    await homeserver.request("PUT", _path(homeserver), direct)
    return room_id
