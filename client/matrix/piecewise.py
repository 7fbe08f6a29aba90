"""An answer to /sync that matrix-nio refuses or breaks at, once more, event by event.

It takes an answer whole or not at all, and what one room member wrote can break it: then nothing would come
any more.
"""

import json
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlencode

from nio import AsyncClient, SyncResponse

log = logging.getLogger(__name__)

Json = dict[str, Any]


async def sync_piecewise(client: AsyncClient, sync_filter: Json) -> AsyncIterator[SyncResponse]:
    """What can be taken of the answer after `client.next_batch`; afterwards the position is behind it.

    OSError where the homeserver does not answer as one.
    """
    query = urlencode({"since": client.next_batch, "timeout": 0, "filter": json.dumps(sync_filter)})
    headers = {"Authorization": f"Bearer {client.access_token}"}
    async with await client.send("GET", f"/_matrix/client/v3/sync?{query}", None, headers) as response:
        answer = json.loads(await response.read()) if response.status == 200 else None
    if not isinstance(answer, dict) or not isinstance(answer.get("next_batch"), str):
        raise OSError("no answer to sync")
    for body in pieces_untrusted(answer):
        try:
            piece = SyncResponse.from_dict(body)
            if isinstance(piece, SyncResponse):
                client.next_batch = ""  # it passes over an answer with the position that it has
                await client.receive_response(piece)
                yield piece
        except Exception as error:  # matrix-nio has no common base of what it raises at malformed events
            log.warning("an event was passed over: %s", type(error).__name__)
    client.next_batch = answer["next_batch"]


def pieces_untrusted(answer: Json) -> Iterator[Json]:
    """Answers with one event each, keys first; what is not as it should be is left out."""
    core: Json = {
        name: answer[name] for name in ("device_lists", "device_one_time_keys_count") if name in answer
    }
    yield {**core, "next_batch": "x"}
    for event in _events(answer.get("to_device")):
        yield {"next_batch": "x", "to_device": {"events": [event]}}
    rooms = answer.get("rooms")
    joined = rooms.get("join") if isinstance(rooms, dict) else None
    for room_id, room in joined.items() if isinstance(joined, dict) else ():
        if not isinstance(room, dict):
            continue
        for event in _events(room.get("state")):
            yield _room(room_id, {"state": {"events": [event]}})
        for event in _events(room.get("timeline")):
            yield _room(room_id, {"timeline": {"events": [event], "limited": False, "prev_batch": "x"}})


def _events(section: object) -> list[Json]:
    found = section.get("events") if isinstance(section, dict) else None
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _room(room_id: str, parts: Json) -> Json:
    empty: Json = {
        "timeline": {"events": [], "limited": False, "prev_batch": "x"},
        "state": {"events": []},
        "ephemeral": {"events": []},
        "account_data": {"events": []},
    }
    return {"next_batch": "x", "rooms": {"join": {room_id: {**empty, **parts}}}}
