"""The three roles of a process: the supervisor that is called, and the worker and control that it starts."""

import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from control import logs
from control.handover import Handover
from control.keeper import Keeper, Orphanhood, wait_for_end
from control.run_dir import Lock, control_lock, holder

LEFT = "SOTTO_LEFT"
"""Environment variable in which a supervisor tells what it becomes what it has."""
CONTROL_LOCK_S = 0.2
"""Between two looks whether a former control process has ended. Higher: calls are answered later."""


def serve(path: Path) -> int:
    """Until told to stop; the exit status."""
    from control.config import ConfigError, load
    from control.io.sockets import BindError
    from control.run_dir import RunDirError
    from control.supervisor import AlreadyRuns, Supervisor
    from fastpath_ext.table import LayoutError

    logs.begin("serve")
    left = os.environ.pop(LEFT, None)
    own = sys.executable, "-m", "control"

    def become(what_is_left: str) -> None:
        again = [*own, "serve", "--config", str(path)]
        os.execve(sys.executable, again, {**os.environ, LEFT: what_is_left})  # noqa: S606

    try:
        supervisor = Supervisor(
            load(path, os.environ),
            (*own, "worker"),
            (*own, "control"),
            left=json.loads(left) if left else None,
            become=become,
        )
    except ConfigError as error:
        print(f"sotto: {error}", file=sys.stderr)
        return os.EX_CONFIG
    except (AlreadyRuns, BindError, LayoutError, RunDirError, OSError) as error:
        print(f"sotto: cannot start: {error}", file=sys.stderr)
        return os.EX_UNAVAILABLE
    return supervisor.run()


def worker(handover: Handover) -> int:
    """Imports nothing of control's decisions: a worker is the compiled core and its shell."""
    from fastpath_ext.worker import Worker

    (own,) = handover.workers
    os.sched_setaffinity(0, {own.cpu})
    # Ctrl-C is for the supervisor to act upon.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    core = Worker(
        own.config_fd,
        own.state_fd,
        own.uplink_fd,
        [one.fd for one in own.sockets],
        hold_us=handover.hold_us,
        packet_fd=handover.packet_fd,
        busy_poll_us=handover.busy_poll_us,
        rings_fd=own.rings_fd,
        index=own.index,
        wake_fds=own.wake_fds,
    )
    keeper = Keeper(handover)
    if handover.predecessor_fd < 0 or wait_for_end(handover.predecessor_fd):
        keeper.begins()
        core.run()
    keeper.close()
    logging.shutdown()
    # The next one begins when this process is gone: no time for the interpreter to tidy up.
    os._exit(0)


def control(handover: Handover) -> int:
    """SIGTERM cancels control.app.run, which says goodbye before it lets itself be cancelled."""
    import asyncio

    import uvloop

    from control import collector
    from control.app import run
    from control.config import Config

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if handover.predecessor_fd >= 0 and not stands_by(handover):
        return 0
    folder = Path(handover.run_dir)
    silent = resume = False

    async def cancellable() -> int:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def leave_silently() -> None:
            nonlocal silent
            silent = True
            task.cancel()

        def send_over() -> None:
            nonlocal resume
            resume = True
            leave_silently()

        loop.add_signal_handler(signal.SIGTERM, task.cancel)
        # Another control process follows: nobody is told, nobody loses media.
        loop.add_signal_handler(signal.SIGHUP, leave_silently)
        # One of a server with other tables follows: members are asked to go there.
        loop.add_signal_handler(signal.SIGUSR1, send_over)
        lock = await only_one(control_lock(folder))
        collector.settle()
        orphan = loop.create_task(end_as_orphan(Orphanhood(handover), leave_silently))
        try:
            return await run(Config.from_json(handover.config), handover, lambda: silent, lambda: resume) or 0
        finally:
            orphan.cancel()
            lock.close()

    try:
        return uvloop.run(cancellable())
    except asyncio.CancelledError:
        return 0


def stands_by(handover: Handover) -> bool:
    """Waits for the end of the control process before this one.

    False when this one is to end instead: told so (SIGTERM), or the supervisor is gone, which the next one's
    own standby follows.
    """
    try:
        supervisor = os.pidfd_open(handover.supervisor)
    except ProcessLookupError:
        return False
    try:
        return wait_for_end(handover.predecessor_fd, supervisor)
    finally:
        os.close(supervisor)
        os.close(handover.predecessor_fd)


async def only_one(path: Path) -> Lock:
    """Two control processes never write one table: waits until a former one has ended."""
    import asyncio

    while True:
        try:
            return Lock(path)
        except BlockingIOError:
            logging.getLogger("sotto.control").warning("waiting for the end of process %s", holder(path))
            await asyncio.sleep(CONTROL_LOCK_S)


async def end_as_orphan(orphanhood: Orphanhood, end: Callable[[], None]) -> None:
    import asyncio

    while not orphanhood.is_over():  # noqa: ASYNC110 - a lock of another process is no event
        await asyncio.sleep(orphanhood.look_s)
    end()
