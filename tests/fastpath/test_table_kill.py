"""Control is killed while it puts and publishes; a worker never reads half of anything.

tests/fastpath/c/test_table.c does the same with the bare functions: there most kills hit the writing itself.
"""

import os
import random
import signal
import time

from fastpath_ext.table import Table
from tests.fastpath.tables import Reader, sink_row, source_row, transport_row
from tests.patience import PATIENCE_S

KILLS = 500
TRANSPORTS, SOURCES, SINKS = 8, 16, 512


def _write(table: Table, seed: int) -> None:
    """Control at full speed: whole generations, each with rows and relations of its own."""
    chance = random.Random(seed)
    stamp = table.current
    while True:
        # Stamps go on over deaths, so that what a dead control left behind is never taken for right.
        stamp += 1
        used = range(1 + chance.randrange(TRANSPORTS))
        for handle in range(TRANSPORTS):
            if handle in used:
                table.put_transport(handle, transport_row(stamp, conference=stamp))
            else:
                table.remove_transport(handle)
        for handle in range(SOURCES):
            if handle % 2 and handle // 2 in used:
                of = {"transport": handle // 2, "transport_incarnation": stamp}
                table.put_source(handle, source_row(stamp, member=stamp, **of))
            else:
                table.remove_source(handle)
        source = 1
        for handle in chance.sample(range(SINKS), 24):
            to = {"transport": chance.choice(used), "transport_incarnation": stamp, "source": source}
            table.put_sink(handle, sink_row(stamp, ssrc=stamp, **to, source_incarnation=stamp))
        for handle in table.sink_handles:
            if table.sink(handle).incarnation != stamp:
                table.remove_sink(handle)
        while not table.publish():
            pass
        if chance.random() < 0.5:
            table.settle()


def test_no_generation_is_torn():
    table = Table.create(TRANSPORTS, SOURCES, SINKS)
    reader = Reader(*table.fds)
    chance = random.Random()
    adopted = damaged = 0
    began = time.monotonic()
    for number in range(KILLS):
        writer = os.fork()
        if writer == 0:
            successor = Table.attach(*table.fds)
            if successor.damaged_rows:
                os._exit(1)
            _write(successor, number)
        try:
            slow = chance.random() * 0.003 if number % 3 == 0 else 0.0
            adopted += reader.run(0.001 + chance.random() * 0.02, slow)
            # Some live until they have published, however busy the machine is.
            deadline = time.monotonic() + PATIENCE_S
            while adopted < number / 4 and time.monotonic() < deadline:
                adopted += reader.run(0.01)
        finally:
            os.kill(writer, signal.SIGKILL)
            _, status = os.waitpid(writer, 0)
        damaged += status != signal.SIGKILL
        adopted += reader.run(0.0002)
    took = time.monotonic() - began
    print(f"{KILLS} kills in {took:.1f} s, {adopted} generations read, 0 torn")
    assert damaged == 0
    assert adopted > KILLS / 5
    # And whoever comes last can go on.
    last = Table.attach(*table.fds)
    for handle in last.sink_handles:
        last.remove_sink(handle)
    reader.adopt()
    assert last.publish()
    assert reader.adopt() == 1
    assert reader.verify() > 0
    assert last.settle()
    reader.close()
