"""CPU of a whole worker on loopback: one camera to 100 receivers, frames of 8 packets of 1112 bytes.

Prints microseconds of the worker's CPU for each datagram sent (user and system), and what the frames became.
The kernel's way into the receiving sockets is in it, as always on loopback; nobody reads them.
"""

import argparse
import os
import socket
import time
from pathlib import Path

from fastpath_ext.counters import Counters
from tests.fastpath.test_worker import Rig
from tests.synthetic import Meeting, Participant


class Audience(Rig):
    """One sender, many receivers, a table made for that."""

    def build(self, count: int) -> Meeting:
        full = Meeting(Meeting.of(0, room=count).table, [Participant(n) for n in range(count)])
        for receiver in range(1, count):
            full.subscribe(receiver, 0, 0)
        full.put()
        return full


def cpu_seconds(pid: int) -> tuple[float, float]:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    tick = os.sysconf("SC_CLK_TCK")
    return int(fields[11]) / tick, int(fields[12]) / tick


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--receivers", type=int, default=100)
    options.add_argument("--frames", type=int, default=600)
    options.add_argument("--rate", type=float, default=200.0, help="frames a second")
    options.add_argument("--paced", action="store_true", help="packets evenly spaced instead of in bursts")
    given = options.parse_args()
    rig = Audience(given.receivers + 1)
    try:
        rig.start()
        rig.join()
        sender = rig.endpoints[0]
        for one in rig.endpoints[1:]:  # small, so that the kernel does not fill hundreds of megabytes
            one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        frames = [
            sender.participant.frame(0, key=n == 0, packets=8, size=1060, now=n / 30)
            for n in range(given.frames)
        ]
        assert rig.process is not None
        before, user = Counters(rig.meeting.table.fds[1]).values(), cpu_seconds(rig.process.pid)
        start = time.monotonic()
        for n, frame in enumerate(frames):
            for k, packet in enumerate(frame):
                due = start + (n + (k / 8 if given.paced else 0)) / given.rate
                while (left := due - time.monotonic()) > 0:
                    time.sleep(left)
                sender.send(packet)
        time.sleep(0.3)
        after, spent = Counters(rig.meeting.table.fds[1]).values(), cpu_seconds(rig.process.pid)
        counted = {name: after[name] - before[name] for name in after if after[name] != before[name]}
        sent = counted["tx_datagrams"]
        own, system = ((b - a) / sent * 1e6 for a, b in zip(user, spent, strict=True))
        run = sent / counted["tx_messages"]
        print(f"{sent} datagrams, mean run {run:.1f}: {own:.2f} us user + {system:.2f} us system each")
        print({name: n for name, n in counted.items() if "dropped" in name or name.startswith("rtp_")})
    finally:
        rig.close()


if __name__ == "__main__":
    main()
