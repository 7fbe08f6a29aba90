"""What it costs control to publish one changed route, and a worker to take a generation over."""

import time
from dataclasses import replace

from benchmarks.figures import Figures
from benchmarks.plan import Plan, sink_row
from fastpath_ext.worker import Forwarder


def tables(figures: Figures) -> None:
    for routes in (1, 100, 10_000):
        plan = Plan()
        sender = plan.member(0)
        camera = plan.video(sender)
        receivers = [plan.member(0) for _ in range(min(routes, 500))]
        for n in range(routes):
            plan.watch(receivers[n % len(receivers)], camera)
        (table,) = plan.tables()
        worker = Forwarder(*table.fds)
        now = time.monotonic_ns()
        worker.adopt(now)
        publish, adopt = [], []
        for turn in range(20):
            sink = plan.sinks[turn % routes]
            begin = time.process_time_ns()
            table.put_sink(sink.handle, replace(sink_row(turn % routes, sink), priority=turn % 8 + 2))
            assert table.publish()
            between = time.process_time_ns()
            assert worker.adopt(now + turn + 1)
            publish.append(between - begin)
            adopt.append(time.process_time_ns() - between)
        figures.add(f"table_publish_{routes}_us", sorted(publish)[10] / 1000, "us", note="one row changed")
        figures.add(
            f"table_adopt_{routes}_us",
            sorted(adopt)[10] / 1000,
            "us",
            note="in the worker, between two batches",
        )
