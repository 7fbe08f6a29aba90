"""matrix-nio's client, for rooms whose people or devices change while it hands a room's key round.

Version 0.26 forgets the key of such a room at once: in the middle of handing it round it then breaks
(KeyError), and what was to be sent with it, an answer to a call, would be lost; or it goes on, and a device
that has just come cannot read what follows.
"""

import asyncio
from typing import Any, Final

from nio import AsyncClient, ShareGroupSessionError, ShareGroupSessionResponse

# Times that a key which was out of date before it had gone round is made anew for one event. Higher: whoever
# makes devices without end holds up what is said in their room. Lower: who comes just then cannot read it.
_ROUNDS: Final = 3


class SharingClient(AsyncClient):  # type: ignore[misc]
    """What changes meanwhile is remembered until the key has gone round."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._outdated: set[str] = set()  # rooms
        super().__init__(*args, **options)

    def invalidate_outbound_session(self, room_id: str) -> None:
        if room_id in self.sharing_session:
            self._outdated.add(room_id)
        else:
            super().invalidate_outbound_session(room_id)

    async def share_group_session(
        self, room_id: str, ignore_unverified_devices: bool = False
    ) -> ShareGroupSessionResponse | ShareGroupSessionError:
        for more in range(_ROUNDS - 1, -1, -1):
            self._outdated.discard(room_id)
            answer = await super().share_group_session(room_id, ignore_unverified_devices)
            if room_id not in self._outdated:
                break
            if more:
                super().invalidate_outbound_session(room_id)
            else:  # what it is for is encrypted before anything else happens
                asyncio.get_running_loop().call_soon(super().invalidate_outbound_session, room_id)
        return answer
