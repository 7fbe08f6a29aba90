"""Which ticket epoch is current, and which are on their way to it (docs/protocol.md section 2).

Somebody leaves: a member makes a new secret and gives it to those who are in the room; each proves it. It
becomes current when a majority has. A person counts once however many devices it has, and only those count
who proved the epoch that is current now: so whoever was removed and still knows the old secret is outvoted
by those who stay.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from control.protocol import limits


class Epoch(NamedTuple):
    """A number alone would let two secrets pass for one."""

    number: int
    verifier: bytes  # the public half of what is derived from the secret


@dataclass(frozen=True, slots=True)
class Proposal:
    """How far an epoch has come, in persons."""

    epoch: Epoch
    proved: int
    of: int


class Epochs:
    """Of one conference. Members by number, with the person (user id) each belongs to."""

    def __init__(self, current: Epoch) -> None:
        self.current = current
        self.version = 0  # counts changes
        self._proved: dict[int, tuple[Epoch, ...]] = {}  # by member; the newest last

    def prove(self, member: int, epoch: Epoch) -> None:
        """A proof of the current epoch, or of a later one, was right."""
        self.version += 1
        before = [each for each in self._proved.get(member, ()) if each != epoch]
        others = [each for each in (*before, epoch) if each != self.current][-limits.EPOCHS_PER_MEMBER :]
        has_current = epoch == self.current or self.current in before
        self._proved[member] = (*([self.current] if has_current else []), *others)

    def forget(self, member: int) -> None:
        self.version += 1
        self._proved.pop(member, None)

    def has_proved(self, member: int, epoch: Epoch) -> bool:
        return epoch in self._proved.get(member, ())

    def unproved(self, members: Iterable[int]) -> set[int]:
        """Those who have not proved the current epoch."""
        return {member for member in members if not self.has_proved(member, self.current)}

    def acceptable(self, number: int, persons: Mapping[int, str]) -> list[Epoch]:
        """Of this number, what a newcomer may prove: the current one, or those that are on their way."""
        if number == self.current.number:
            return [self.current]
        return [each.epoch for each in self.proposals(persons) if each.epoch.number == number]

    def proposals(self, persons: Mapping[int, str]) -> list[Proposal]:
        """Those on their way, the foremost first, no more than a few."""
        only = (self.current,)
        if all(proved == only or not proved for proved in self._proved.values()):
            return []  # as it nearly always is
        voters = {m: person for m, person in persons.items() if self.has_proved(m, self.current)}
        of = len(set(voters.values()))
        by_epoch: dict[Epoch, set[str]] = {}
        for member, person in voters.items():
            for epoch in self._proved[member]:
                if epoch != self.current:
                    by_epoch.setdefault(epoch, set()).add(person)
        found = [Proposal(epoch, len(who), of) for epoch, who in by_epoch.items()]
        found.sort(key=lambda each: (-each.proved, each.epoch))
        return found[: limits.EPOCHS_PROPOSED_MAX]

    def settle(self, persons: Mapping[int, str]) -> bool:
        """True when one has become current: more than half of the persons that count have proved it."""
        foremost = next(iter(self.proposals(persons)), None)
        if foremost is None or 2 * foremost.proved <= foremost.of:
            return False
        self.version += 1
        self.current = current = foremost.epoch
        self._proved = {
            member: tuple(each for each in proved if each == current or each.number > current.number)
            for member, proved in self._proved.items()
        }
        return True

    # -- over a restart --

    def to_values(self) -> list[object]:
        proved = [[m, [[n, v.hex()] for n, v in epochs]] for m, epochs in self._proved.items()]
        return [self.current.number, self.current.verifier.hex(), proved]

    @classmethod
    def from_values(cls, values: list[object]) -> "Epochs":
        """ValueError or TypeError when they are none."""
        number, verifier, proved = values
        epochs = cls(Epoch(int(str(number)), bytes.fromhex(str(verifier))))
        if not isinstance(proved, list):
            raise TypeError
        for member, list_of in proved:
            epochs._proved[int(member)] = tuple(Epoch(int(n), bytes.fromhex(v)) for n, v in list_of)
        return epochs
