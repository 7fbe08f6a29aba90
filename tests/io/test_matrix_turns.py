"""Events of a room one after the other."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from control.io.matrix_turns import TURNS_MAX, Turns


async def test_one_after_the_other_within_a_room_and_not_between_rooms() -> None:
    counts: Counter[str] = Counter()
    turns = Turns(lambda name: counts.update([name]))
    performed: list[tuple[str, int]] = []
    answered, given_up = asyncio.Event(), asyncio.Event()

    def turn(room_id: str, number: int, waits: bool = False) -> Callable[[], Awaitable[None]]:
        async def perform() -> None:
            if waits:
                await answered.wait()
            if number == 1:
                raise ValueError("of matrix-nio")
            performed.append((room_id, number))

        return perform

    other_done, last_done = asyncio.Event(), asyncio.Event()
    for number in range(TURNS_MAX):
        done = last_done.set if number == TURNS_MAX - 1 else lambda: None
        turns.take("!slow", turn("!slow", number, waits=number == 0), done)
    turns.take("!slow", turn("!slow", -1), given_up.set)
    assert given_up.is_set(), "too many"
    turns.take("!other", turn("!other", 0), other_done.set)
    await other_done.wait()
    assert performed == [("!other", 0)]
    assert turns.waiting("!slow")
    assert not turns.waiting("!other")
    answered.set()
    await last_done.wait()
    assert performed[1:] == [("!slow", number) for number in range(TURNS_MAX) if number != 1]
    assert not turns.waiting("!slow")
    assert counts == {"matrix_device_mismatched": 1, "matrix_poison": 1}


async def test_what_waits_at_the_end_is_not_done() -> None:
    turns = Turns(lambda name: None)
    done: list[int] = []

    async def for_ever() -> None:
        await asyncio.Event().wait()

    turns.take("!room", for_ever, lambda: done.append(0))
    await asyncio.sleep(0)
    await turns.close()
    assert done == []
