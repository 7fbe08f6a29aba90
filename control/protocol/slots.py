"""Who stands on which slot pair of a receiver (docs/protocol.md section 4, slot rule)."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple


class Occupant(NamedTuple):
    """What a pair carries: a member's camera and microphone, or its screen and the screen's sound."""

    member: int
    screen: bool = False


def assign(
    previous: Mapping[int, Occupant],
    occupants: Sequence[Occupant],
    pairs: Sequence[int],
    receiver: int | None = None,
    here: Collection[Occupant] | None = None,
) -> dict[int, Occupant]:
    """The new assignment, pair -> occupant.

    Whoever has a pair that still exists keeps it. The others take free pairs, lowest first, in the order
    of `occupants`; who finds none waits (the client offers more pairs). `receiver`: whose pairs they are,
    which carry others. `here`: the occupants again, where they are many and somebody has a set of them.
    """
    here = set(occupants) if here is None else here
    kept = {pair: who for pair, who in previous.items() if pair in pairs and who in here}
    placed = set(kept.values())
    # No further than there are free pairs: hundreds may wait.
    waiting = (who for who in occupants if who.member != receiver and who not in placed)
    free = (pair for pair in sorted(pairs) if pair not in kept)
    return kept | dict(zip(free, waiting, strict=False))
