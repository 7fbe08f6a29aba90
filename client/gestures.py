"""Raised hands and reactions: said to the room, so that the focus learns nothing (docs/protocol.md section
7)."""

import asyncio
import time
from collections.abc import Callable, Mapping

from client.errors import Trouble
from client.happenings import HandChanged, Happening, Reacted
from client.matrix.homeserver import Homeserver
from client.matrix.inbox import RoomEvent
from client.protocol import limits, names
from client.protocol.checked import Malformed
from client.protocol.events import Hand, Reaction, read_hand_untrusted, read_reaction_untrusted
from client.protocol.messages import Member


class Gestures:
    """`hands`: members whose hand is up, the longest first, with the moment on our clock."""

    def __init__(
        self,
        homeserver: Homeserver,
        room_id: str,
        conference_id: str,
        members: Mapping[int, Member],
        tell: Callable[[Happening], None],
    ) -> None:
        self._homeserver, self._room_id, self._conference_id = homeserver, room_id, conference_id
        self._members, self._tell = members, tell
        self.hands: dict[int, float] = {}
        self._ours: Hand | None = None
        self._said_at = self._reacted_at = -1e9
        self._task: asyncio.Task[None] | None = None
        homeserver.inbox.on_event.append(self._heard)

    def close(self) -> None:
        self._homeserver.inbox.on_event.remove(self._heard)
        if self._task is not None:
            self._task.cancel()

    async def raise_hand(self, number: int, up: bool) -> None:
        """Ours. Trouble when the homeserver does not take it."""
        hand = Hand(self._conference_id, number, up)
        self._ours = hand if up else None
        self._said_at = time.monotonic()
        await self._homeserver.send(self._room_id, names.HAND, hand.content())
        self._set(number, up)

    async def react(self, number: int, emoji: str) -> bool:
        """False when the last reaction was too short ago."""
        now = time.monotonic()
        if now - self._reacted_at < limits.REACTION_S:
            return False
        self._reacted_at = now
        reaction = Reaction(self._conference_id, number, emoji)
        await self._homeserver.send(self._room_id, names.REACTION, reaction.content())
        return True

    def joined(self) -> None:
        """Somebody who could not read that our hand is up."""
        if self._ours is not None and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._again(), name="hand")

    def left(self, number: int) -> None:
        self._set(number, False)

    def tick(self, now: float) -> None:
        for number in [each for each, at in self.hands.items() if now - at > limits.HAND_S]:
            self._set(number, False)

    async def _again(self) -> None:
        await asyncio.sleep(max(0.0, self._said_at + limits.HAND_AGAIN_S - time.monotonic()))
        if self._ours is not None:
            self._said_at = time.monotonic()
            try:
                await self._homeserver.send(self._room_id, names.HAND, self._ours.content())
            except Trouble:
                return

    def _set(self, number: int, up: bool) -> None:
        if up == (number in self.hands):
            return
        if up:
            self.hands[number] = time.monotonic()
        else:
            del self.hands[number]
        self._tell(HandChanged(number, up))

    def _heard(self, event: RoomEvent) -> None:
        if event.room_id != self._room_id or not event.encrypted or event.own:
            return
        try:
            if event.type == names.HAND:
                hand = read_hand_untrusted(event.content)
                if self._is_theirs(hand.conference_id, hand.member, event.sender):
                    self._set(hand.member, hand.raised)
            elif event.type == names.REACTION:
                reaction = read_reaction_untrusted(event.content)
                if self._is_theirs(reaction.conference_id, reaction.member, event.sender):
                    self._tell(Reacted(reaction.member, reaction.key))
        except Malformed:
            return

    def _is_theirs(self, conference_id: str, number: int, sender: str) -> bool:
        member = self._members.get(number)
        return conference_id == self._conference_id and member is not None and member.user_id == sender
