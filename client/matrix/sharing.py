"""matrix-nio's client, for rooms whose people come and go while it hands a room's key round.

Version 0.26 forgets the key of a room at once when its people or their devices change. In the middle of
handing that key round it then breaks (KeyError), or goes on and uses the key although it did not go to
somebody who is new. And where it breaks before it has begun, its mark stays and all later events wait for
ever.
"""

import asyncio
from typing import Any

from nio import AsyncClient, ShareGroupSessionError, ShareGroupSessionResponse

# Times that a key which was out of date before it had gone round is made anew for one event. Higher: where
# people come without a break, the event waits longer. Lower: who comes just then has to ask for it.
_ROUNDS = 3


class SteadyClient(AsyncClient):  # type: ignore[misc]
    """What changes meanwhile is kept until a key has gone round; then the next one does."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._changed: set[str] = set()  # rooms
        super().__init__(*args, **options)

    def invalidate_outbound_session(self, room_id: str) -> None:
        if room_id in self.sharing_session:
            self._changed.add(room_id)
        else:
            super().invalidate_outbound_session(room_id)

    async def share_group_session(
        self, room_id: str, ignore_unverified_devices: bool = False
    ) -> ShareGroupSessionResponse | ShareGroupSessionError:
        for left in reversed(range(_ROUNDS)):
            self._changed.discard(room_id)
            try:
                answer = await super().share_group_session(room_id, ignore_unverified_devices)
            except BaseException:
                if (mark := self.sharing_session.pop(room_id, None)) is not None:
                    mark.set()
                raise
            if room_id not in self._changed:
                break
            if left:
                super().invalidate_outbound_session(room_id)
            else:  # the event that it is for takes it at once, and no other does
                asyncio.get_running_loop().call_soon(super().invalidate_outbound_session, room_id)
        return answer
