"""The device takes less than is sent: pictures are dropped, sound and answers go on, nobody waits."""

import pytest

from tests.fastpath.two_namespaces import play

SCENE = """
import ctypes, fcntl, socket, struct, subprocess, sys, termios, time
from benchmarks.network import enter
from tests.fastpath import test_worker

OURS, THEIRS = "10.9.0.1", "10.9.0.2"
FULL, AFTERWARDS = 1100, 700  # sizes of packets

def tc(*words):
    subprocess.run(("tc", "qdisc", *words), check=True)

def behind_the_device():
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net") as home, open("/run/netns/" + sys.argv[1]) as there:
        enter(libc, there.fileno())
        try:
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            made.bind((THEIRS, 0))
            return made
        finally:
            enter(libc, home.fileno())

rig = test_worker.Rig(3, reach=OURS)
rig.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 200 << 10)
ROOM = rig.sockets[0].getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)

def buffered():
    return struct.unpack("i", fcntl.ioctl(rig.sockets[0], termios.TIOCOUTQ, bytes(4)))[0]

sender, behind, beside = rig.endpoints  # the last is reached without that device
try:
    behind.socket.close()
    behind.socket = behind_the_device()
    rig.start()
    rig.join()
    sender.send(*sender.participant.frame(0, key=True, packets=8, size=FULL))
    assert rig.pump(lambda: len(rig.got(1, 0, True)) == len(rig.got(2, 0, True)) == 8)

    tc("add", "dev", "sotto0", "root", "tbf", "rate", "2mbit", "burst", "4kb", "limit", "10mb")
    for _ in range(2000):
        read = rig.counters["rx_datagrams"] + 8
        sender.send(*sender.participant.frame(0, key=False, packets=8, size=FULL))
        while rig.counters["rx_datagrams"] < read:  # no more at once than its socket holds
            time.sleep(0.0005)
        rig.pump(lambda: True)
        if rig.counters["tx_full_dropped"] > 20:
            break
    dropped = rig.counters["tx_full_dropped"]
    assert dropped > 20, "the buffer was never full"

    # Pictures take three quarters of it from now on; until then what stands in it has to leave.
    assert rig.pump(lambda: buffered() < ROOM * 3 // 4)
    answers = behind.participant.answers
    behind.send(behind.participant.check())
    for said in range(1, 21):
        sender.send(*sender.participant.frame(0, key=False, packets=8, size=FULL), sender.participant.opus())
        assert rig.pump(lambda: len(rig.got(2, 0, False)) == said)
    assert rig.pump(lambda: len(rig.got(1, 0, False)) == 20)
    assert rig.pump(lambda: behind.participant.answers > answers)

    tc("del", "dev", "sotto0", "root")
    assert rig.pump(lambda: buffered() == 0)

    def seen():
        got = [rig.got(receiver, 0, True) for receiver in (1, 2)]
        return all(any(len(one.payload) < FULL - 200 for one in each) for each in got)

    # What rushed in cost more than links are taken to carry: pictures may be paused for a while.
    small = lambda: sender.participant.frame(0, key=True, size=AFTERWARDS)
    assert rig.pump(lambda: seen() or sender.send(*small()))
    assert all(one.refused == [] for one in rig.people)
    assert rig.counters["internal_errors"] == rig.counters["tx_kernel_refused_dropped"] == 0
finally:
    rig.close()
"""


@pytest.mark.netns
def test_a_full_buffer_drops_pictures_and_blocks_nobody(namespace: str) -> None:
    play(SCENE, namespace)
