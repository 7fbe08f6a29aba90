"""[media].packet_interface: packets leave past the kernel's UDP, and by UDP where they cannot."""

import pytest

from tests.fastpath.two_namespaces import play

SCENE = """
import ctypes, socket, subprocess, sys, time
from pathlib import Path
from benchmarks.network import enter
from control.io.sockets import packet_socket
from tests.fastpath import test_worker
from tests.patience import PATIENCE_S

OURS, THEIRS = "10.9.0.1", "10.9.0.2"

def ip(*words):
    subprocess.run(("ip", *words), check=True)

def by_udp():
    lines = Path("/proc/net/snmp").read_text().splitlines()
    names, values = (line.split() for line in lines if line.startswith("Udp:"))
    return int(values[names.index("OutDatagrams")])

def elsewhere(make):
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net") as home, open("/run/netns/" + sys.argv[1]) as there:
        enter(libc, there.fileno())
        try:
            return make()
        finally:
            enter(libc, home.fileno())

def member_socket():
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    made.bind((THEIRS, 0))
    return made

assert packet_socket("nonesuch") is None
rig = test_worker.Rig(2, reach=OURS)
rig.packets = packet_socket("sotto0")
assert rig.packets is not None
try:
    for one in rig.endpoints:
        one.socket.close()
        one.socket = elsewhere(member_socket)
    rig.start()
    rig.join()
    sent = 0

    def frames(count, packets=6):
        global sent
        for _ in range(count):
            rig.endpoints[0].send(*rig.people[0].frame(0, key=True, packets=packets, size=1100))
            sent += packets
            assert rig.pump(lambda: len(rig.got(1, 0, True)) == sent)

    frames(1)
    before, sent_before = by_udp(), rig.counters["tx_datagrams"]
    frames(20)
    by_udp_now, all_of_it = by_udp() - before, rig.counters["tx_datagrams"] - sent_before
    assert by_udp_now < all_of_it / 4, (by_udp_now, all_of_it, "most leave past UDP")
    with rig.standing_still():
        rig.endpoints[0].send(*rig.people[0].frame(0, key=True, packets=6, size=1100))
    sent += 6
    assert rig.pump(lambda: len(rig.got(1, 0, True)) == sent)
    assert rig.counters["tx_messages"] < rig.counters["tx_datagrams"], "frames leave as runs"
    rig.endpoints[0].send(*(rig.people[0].opus() for _ in range(20)))
    assert rig.pump(lambda: len(rig.got(1, 0, False)) == 20)
    # Who is next on the way is forgotten: by UDP until it is known again.
    ip("neighbour", "flush", "dev", "sotto0")
    frames(5)
    # More than the device takes: UDP makes fragments.
    ip("link", "set", "sotto0", "mtu", "1000")
    ip("-n", sys.argv[1], "link", "set", "sotto0", "mtu", "1000")
    # It looks for such changes four times a second: at the latest in the turn after that.
    for _ in range(2):
        noticed, deadline = time.monotonic_ns() + 300_000_000, time.monotonic() + PATIENCE_S
        while rig.meeting.table.heartbeat_ns < noticed:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    before = by_udp()
    frames(5)
    assert by_udp() - before >= 20
    assert all(one.refused == [] for one in rig.people)
    assert rig.counters["internal_errors"] == rig.counters["tx_kernel_refused_dropped"] == 0
finally:
    rig.close()
"""


@pytest.mark.netns
def test_packets_leave_past_udp_and_by_udp_where_they_cannot(namespace: str) -> None:
    play(SCENE, namespace)
