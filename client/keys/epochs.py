"""Epochs of the ticket: proved when they come, proposed when somebody left (docs/protocol.md section 2.1).
Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from client.keys.ticket import SECRET_BYTES, Ticket
from client.protocol import limits
from client.protocol.messages import Epoch

NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Proof:
    """Content of P.prove."""

    epoch: int
    verifier: bytes
    signature: bytes


class Epochs:
    """`prove` makes a proof of a ticket; `random` secrets. After each call ask `proofs`; `poll` by the
    clock."""

    def __init__(
        self,
        ticket: Ticket,
        current: tuple[int, bytes],
        prove: Callable[[Ticket], bytes],
        random: Callable[[int], bytes],
    ) -> None:
        """`current`: number and verifier, as P.welcome told them."""
        self._current = current
        self._known: dict[tuple[int, bytes], Ticket] = {}
        self._joined_with = ticket
        self._prove, self._random = prove, random
        self._proofs: list[Proof] = []
        self._highest = max(current[0], ticket.epoch)
        self._newest_at = -NEVER
        self._propose_at = NEVER
        self._proved, self._asked_at = True, -NEVER
        self._again = False
        self._know(ticket)
        # One that became current while we called is told as a ticket of the room; ours is worth nothing then.
        if ticket.epoch > current[0]:
            self._say(ticket)

    @property
    def current(self) -> int:
        """The number of the epoch that admits now."""
        return self._current[0]

    def ticket_arrived(self, ticket: Ticket, now: float) -> None:
        """One of our conference, whoever sent it: what it is worth the focus decides."""
        mine = self._joined_with
        if (ticket.conference_id, ticket.creator) != (mine.conference_id, mine.creator):
            return
        if (ticket.epoch, ticket.verifier) in self._known:
            return
        if not self.current <= ticket.epoch <= self.current + limits.EPOCHS_AHEAD:
            return
        if ticket.epoch > self._highest:
            self._highest, self._newest_at = ticket.epoch, now
            self._propose_at = NEVER
        self._know(ticket)
        self._say(ticket)

    def told(self, epoch: Epoch) -> None:
        """P.epoch."""
        self._current = epoch.epoch, epoch.verifier
        self._highest = max(self._highest, self.current)
        self._known = {key: ticket for key, ticket in self._known.items() if key[0] >= self.current}
        self._proved = epoch.proved
        again, self._again = self._again, False
        for each in epoch.proposed if again else ():
            if not each.yours and (known := self._known.get((each.epoch, each.verifier))) is not None:
                self._say(known)
        if epoch.proved:
            return
        if (ticket := self._known.get(self._current)) is not None:
            self._say(ticket)

    def moved(self) -> None:
        """Over another connection from now on: what was said over the one before may be lost."""
        self._again = True

    def lacking(self, now: float) -> bool:
        """Whether to ask the room for the ticket of the current epoch, which we have not."""
        if self._proved or self._current in self._known or now - self._asked_at < limits.TICKET_ANSWER_S:
            return False
        self._asked_at = now
        return True

    def somebody_left(self, now: float, rank: int) -> None:
        """The conference or its room. `rank`: our place among those inside; the first proposes at once."""
        if rank >= 0:
            turn = now + limits.TICKET_RANK_S * rank
            self._propose_at = max(turn, self._newest_at + limits.EPOCH_S)

    def poll(self, now: float) -> Ticket | None:
        """A ticket of a new epoch to send to the room; then give it to `ticket_arrived`."""
        if now < self._propose_at:
            return None
        self._propose_at = NEVER
        before = self._joined_with
        secret = self._random(SECRET_BYTES)
        return Ticket(before.conference_id, before.creator, self._highest + 1, secret)

    def proofs(self) -> list[Proof]:
        """To be said over the data channel; each is given once."""
        proofs, self._proofs = self._proofs, []
        return proofs

    @property
    def ticket(self) -> Ticket:
        """What admits now: given to those who ask."""
        return self._known.get(self._current, self._joined_with)

    def _know(self, ticket: Ticket) -> None:
        self._known[ticket.epoch, ticket.verifier] = ticket
        while len(self._known) > limits.EPOCHS_KNOWN:
            del self._known[next(iter(self._known))]

    def _say(self, ticket: Ticket) -> None:
        self._proofs.append(Proof(ticket.epoch, ticket.verifier, self._prove(ticket)))
