"""Keeps the conference that we are in announced: ours, or one whose announcer is gone (protocol 1)."""

import asyncio
import contextlib
import logging
import time

from client.errors import Trouble
from client.matrix.announcements import Announcements
from client.matrix.homeserver import Homeserver
from client.membership import Membership
from client.protocol import limits
from client.protocol.events import Announcement

log = logging.getLogger(__name__)

TICK_S = 0.5


class Announcing:
    """Of one membership, from its welcome to its end."""

    def __init__(
        self,
        homeserver: Homeserver,
        announcements: Announcements,
        conference: Announcement,
        membership: Membership,
    ) -> None:
        self._user_id, self._all = homeserver.user_id, announcements
        self._conference, self._membership = conference, membership
        self._missed_at: float | None = None

    async def run(self) -> None:
        told = ""
        while True:
            await asyncio.sleep(TICK_S)
            try:
                await self._look(time.monotonic())
                told = ""
            except Trouble as trouble:  # such as when we are no longer in the room; tried again and again
                if trouble.code != told:
                    log.warning("the conference was not announced: %s", trouble.code)
                told = trouble.code

    async def _look(self, now: float) -> None:
        announcers = self._all.announcers(self._conference)
        if self._user_id in announcers:
            return await self._all.tend(now)
        inside = {each.user_id for each in self._membership.members.values()}
        rank = self._membership.rank()
        if announcers & inside or rank < 0 or self._all.engaged(self._conference):
            self._missed_at = None
            return None
        self._missed_at = self._missed_at or now
        if now - self._missed_at >= limits.CARRY_ON_S + limits.TICKET_RANK_S * rank:
            await self._all.announce(self._conference)
        return None

    async def leave(self) -> None:
        """After the others were told that we go. The last ends what we announced; others carry it on.

        Where nobody has when we go, the homeserver ends ours in a minute: by then somebody inside will have.
        """
        if self._user_id not in self._all.announcers(self._conference):
            return
        ours, members = self._membership.number, self._membership.members
        others = {each.user_id for number, each in members.items() if number != ours}
        with contextlib.suppress(Trouble):
            if others == {self._user_id}:
                await self._all.disarm()  # another device of ours tends the same announcement
            elif not others or await self._carried_on():
                await self._all.end()
            else:
                await self._all.put_off()

    async def _carried_on(self) -> bool:
        """Whether somebody else announces it, now or in a moment."""
        deadline = time.monotonic() + limits.CARRIED_ON_S
        while not self._all.announcers(self._conference) - {self._user_id}:
            self._all.changed.clear()
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    await self._all.changed.wait()
            except TimeoutError:
                return False
        return True
