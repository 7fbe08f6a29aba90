"""Handles, incarnations, SSRCs and ICE credentials: what must be unique, and the randomness it is made of."""

import base64
import heapq
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import NamedTuple

# Letters after the handle in our ufrag, and letters of our password: 48 and 144 bits. RFC 8445 5.3 asks
# for 24 and 128.
_UFRAG_TAIL = 8
_PWD = 24


class FullError(Exception):
    """A table of a worker has no free row."""


class Row(NamedTuple):
    """Where something lives in a worker's table."""

    handle: int
    incarnation: int


class RowAllocator:
    """Rows of one kind on one worker. Lowest handles first, so that the worker's limits stay low.

    An incarnation never repeats.
    """

    def __init__(self, capacity: int, first_incarnation: int, occupied: Collection[int] = ()) -> None:
        """`occupied` handles are not given out before they are freed."""
        self._capacity = capacity
        self._occupied = set(occupied)
        self._incarnation = first_incarnation
        self._unused = max(occupied, default=-1) + 1  # handles from here on were never given out
        self._free = [handle for handle in range(self._unused) if handle not in occupied]
        self.in_use = 0

    @property
    def scarce(self) -> bool:
        """Is no more than a quarter left, which is for members of this worker?"""
        return 4 * (len(self._free) + self._capacity - self._unused) <= self._capacity

    def take(self) -> Row:
        """A free row under a new incarnation; FullError when there is none."""
        if self._free:
            handle = heapq.heappop(self._free)
        elif self._unused < self._capacity:
            handle = self._unused
            self._unused += 1
        else:
            raise FullError
        self._incarnation = self._incarnation % 0xFFFFFFFF + 1  # 1 .. 2**32 - 1, never 0
        self.in_use += 1
        return Row(handle, self._incarnation)

    def give_back(self, row: Row) -> None:
        """The row is no longer in the table."""
        heapq.heappush(self._free, row.handle)
        self.in_use -= 1

    def adopt(self, row: Row) -> None:
        """A member of a former control process goes on holding its row. ValueError if that is taken."""
        handle = row.handle
        if not 0 <= handle < self._capacity:
            raise ValueError("no such handle")
        if handle in self._occupied:
            self._occupied.discard(handle)
        elif handle >= self._unused:
            for unused in range(self._unused, handle):
                heapq.heappush(self._free, unused)
            self._unused = handle + 1
        elif handle in self._free:
            self._free.remove(handle)
            heapq.heapify(self._free)
        else:
            raise ValueError("the handle is in use")
        self.in_use += 1

    def free(self, handles: Collection[int]) -> None:
        """Whoever occupied these is gone, and so are the rows."""
        for handle in self._occupied.intersection(handles):
            self._occupied.discard(handle)
            heapq.heappush(self._free, handle)


@dataclass(frozen=True, slots=True)
class WorkerPlace:
    """One worker as a place for conferences."""

    candidates: tuple[tuple[str, int], ...]  # (address, port) of its socket, most wanted first
    transports: int  # rows in its table
    sources: int
    sinks: int
    # Transports, sources and sinks that members of a former control process still use.
    occupied: tuple[frozenset[int], frozenset[int], frozenset[int]] = (frozenset(), frozenset(), frozenset())
    joined: bool = False  # may conferences be on it and others at the same time?


@dataclass(slots=True)
class Rows:
    """The allocators of one worker."""

    worker: int
    place: WorkerPlace
    transports: RowAllocator
    sources: RowAllocator
    sinks: RowAllocator
    ssrcs: set[int] = field(default_factory=set)  # those given out: slots, retransmissions, sealed sources
    busy: float = 0.0  # part of its time that the worker works, as last measured

    @property
    def load(self) -> int:
        """How many connections it serves: what it costs, as near as it can be told before they send."""
        return self.transports.in_use

    def free(self, transports: Collection[int], sources: Collection[int], sinks: Collection[int]) -> None:
        """What a former control process had left is gone from the table."""
        self.transports.free(transports)
        self.sources.free(sources)
        self.sinks.free(sinks)


@dataclass(frozen=True, slots=True)
class Randomness:
    """Everything random, from two functions handed in."""

    random_bytes: Callable[[int], bytes] = field(repr=False)  # cryptographically strong
    make_ufrag: Callable[[int, str], str] = field(repr=False)  # (handle, tail) -> ufrag that names the handle

    def text(self, length: int) -> str:
        """Letters of ICE's alphabet (RFC 8839 5.4), 6 bits each."""
        return base64.b64encode(self.random_bytes(length)).decode()[:length]

    def ufrag(self, handle: int) -> str:
        return self.make_ufrag(handle, self.text(_UFRAG_TAIL))

    def pwd(self) -> str:
        return self.text(_PWD)

    def ssrc(self, *taken: Collection[int]) -> int:
        """A nonzero SSRC that is in none of `taken`."""
        while True:
            ssrc = int.from_bytes(self.random_bytes(4), "big")
            if ssrc and not any(ssrc in each for each in taken):
                return ssrc

    def rows(self, worker: int, place: WorkerPlace) -> Rows:
        """Allocators for a worker's table.

        Incarnations begin anywhere: state rows of a former control process may still be there.
        """

        def allocator(capacity: int, occupied: frozenset[int]) -> RowAllocator:
            return RowAllocator(capacity, int.from_bytes(self.random_bytes(4), "big"), occupied)

        transports, sources, sinks = place.occupied
        return Rows(
            worker,
            place,
            allocator(place.transports, transports),
            allocator(place.sources, sources),
            allocator(place.sinks, sinks),
        )
