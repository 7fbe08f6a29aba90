"""The bridge of `make quality` does to packets what it is told, and the same again from the same seed."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from itertools import pairwise
from statistics import median

import pytest

from benchmarks.quality.network import SERVER, Link, Network, NoNetwork
from benchmarks.quality.passages import CORRUPTED, LOST, QUEUE_FULL, Passage
from tests.conftest import without_namespaces
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.netns


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    try:
        with Network(tmp_path_factory.mktemp("bridge")) as network:
            yield network
    except NoNetwork as reason:
        without_namespaces(str(reason))


class Pair:
    """A socket on each side of a link."""

    def __init__(self, network: Network, link: Link) -> None:
        self.far = link.socket()
        self.near = network.server.socket(SERVER)
        self.link = link
        self.far.sendto(b"hello", self.near.getsockname())
        _payload, self.address = self._wait(self.near)

    @staticmethod
    def _wait(one: socket.socket, seconds: float = PATIENCE_S) -> tuple[bytes, tuple[str, int]]:
        one.settimeout(seconds)
        payload, address = one.recvfrom(4096)
        return payload, (address[0], address[1])

    def send(self, count: int, size: int = 500, at_once: int = 200) -> list[Passage]:
        """What became of them. `at_once`: no more than the bridge's device holds, should it get no time."""
        before = len(self.link.passages())
        for number in range(count):
            self.near.sendto(number.to_bytes(4).ljust(size, b"\0"), self.address)
            if (number + 1) % at_once == 0:
                self._seen(before + number + 1)
        return self._seen(before + count)[before:]

    def _seen(self, count: int) -> list[Passage]:
        """All passages, when there are so many."""
        deadline = time.monotonic() + PATIENCE_S
        while len(found := self.link.passages()) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count}"
            time.sleep(0.005)
        return found

    def got(self, count: int) -> list[int]:
        """So many numbers in the order of arrival; then nothing more comes."""
        numbers = [int.from_bytes(self._wait(self.far)[0][:4]) for _ in range(count)]
        with pytest.raises(TimeoutError):
            self._wait(self.far, 0.2)
        return numbers


def pair(network: Network, name: str, seed: int = 1) -> Pair:
    return Pair(network, network.link(name, seed))


def test_nothing_is_done_unless_asked(network: Network) -> None:
    one = pair(network, "plain")
    one.send(200)
    assert one.got(200) == list(range(200))


def test_delay(network: Network) -> None:
    one = pair(network, "delay")
    one.link.down.set(delay_ms=80)
    took: list[float] = []
    # A loaded machine wakes us late, never early.
    while not took or (min(took) > 0.11 and len(took) < 200):
        begun = time.monotonic()
        one.near.sendto(b"ping", one.address)
        one._wait(one.far)
        took.append(time.monotonic() - begun)
    assert 0.08 <= min(took) < 0.11


def fates(network: Network, name: str, seed: int) -> list[int]:
    one = pair(network, name, seed)
    one.link.down.set(loss=0.2, duplicate=0.1, corrupt=0.1)
    return [passage.fate for passage in one.send(300)]


def test_the_same_seed_has_the_same_fates(network: Network) -> None:
    first, second, other = fates(network, "a", 7), fates(network, "b", 7), fates(network, "c", 8)
    assert first == second
    assert first != other
    assert 0.1 < sum(bool(fate & LOST) for fate in first) / 300 < 0.3
    assert any(fate & CORRUPTED for fate in first)


def test_loss_in_bursts_is_as_much_loss(network: Network) -> None:
    one = pair(network, "bursts", 3)
    one.link.down.set(loss=0.1, burst=5)
    lost = [bool(passage.fate & LOST) for passage in one.send(3000, size=100)]
    assert 0.06 < sum(lost) / 3000 < 0.14
    runs = sum(now and not before for now, before in zip(lost, [False, *lost], strict=False))
    assert 3.5 < sum(lost) / runs < 7


def test_corrupted_packets_arrive_with_one_bit_turned(network: Network) -> None:
    one = pair(network, "corrupt")
    one.link.down.set(corrupt=1)
    one.near.sendto(bytes(100), one.address)
    payload, _ = one._wait(one.far)
    assert int.from_bytes(payload).bit_count() == 1


def test_jitter_keeps_the_order_unless_told(network: Network) -> None:
    one = pair(network, "jitter")
    one.link.down.set(jitter_ms=30)
    one.send(100)
    assert one.got(100) == list(range(100))
    one.link.down.set(reorder=1)
    one.send(100)
    got = one.got(100)
    assert sorted(got) == list(range(100))
    assert got != sorted(got)


def test_duplicates(network: Network) -> None:
    one = pair(network, "twice")
    one.link.down.set(duplicate=1)
    one.send(20)
    assert sorted(one.got(40)) == sorted([*range(20), *range(20)])


def test_a_bottleneck_carries_its_rate_and_its_queue_is_bounded(network: Network) -> None:
    one = pair(network, "bottleneck")
    one.link.down.set(rate=2_000_000, queue_ms=100)
    passages = one.send(200, size=972)  # 1000 bytes of IP each: 4 ms; 100 ms hold 26 of them
    passed = [passage for passage in passages if passage.passed]
    assert len(passed) >= 25
    one.got(len(passed))
    assert sum(passage.fate == QUEUE_FULL for passage in passages) == 200 - len(passed) > 0
    assert max(passage.wait for passage in passed) == pytest.approx(0.104, abs=0.003)
    apart = [later.left - earlier.left for earlier, later in pairwise(passed)]
    assert min(apart) == pytest.approx(0.004, abs=1e-5)
    assert median(apart) == pytest.approx(0.004, abs=1e-5)


def test_a_rate_changes_at_once_and_the_other_direction_not(network: Network) -> None:
    one = pair(network, "change")
    one.link.down.set(rate=1_000_000, queue_ms=500)
    one.link.down.set(rate=4_000_000)
    apart = [later.left - earlier.left for earlier, later in pairwise(one.send(50, size=972))]
    assert one.got(50) == list(range(50))
    assert median(apart) == pytest.approx(0.002, abs=1e-5)
    one.far.sendto(b"up", one.near.getsockname())
    one._wait(one.near)
    (_hello, up) = one.link.passages(down=False)
    assert up.wait == 0


def test_nonsense_is_refused(network: Network) -> None:
    one = pair(network, "nonsense")
    for wrong in ("sideways rate=1", "ab speed=1", "ab rate=fast", "ab rate", "ab loss=2", "ab rate=-1"):
        with pytest.raises(ValueError, match="error"):
            one.link.ask(wrong)
    one.send(1)
    assert one.got(1) == [0]
