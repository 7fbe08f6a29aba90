"""The command line: `sotto serve`, and what the supervisor starts in its own way: `worker` and `control`."""

import argparse
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from control.handover import Handover, HandoverError
from control.keeper import Keeper, Orphanhood, wait_for_end
from control.run_dir import Lock, control_lock, holder

LEFT = "SOTTO_LEFT"
"""Environment variable in which a supervisor tells what it becomes what it has."""
CONTROL_LOCK_S = 0.2
"""Between two looks whether a former control process has ended. Higher: calls are answered later."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(prog="sotto", description="A conference server for Matrix.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="serve | version")
    serve = commands.add_parser("serve", help="run the server until it is told to stop")
    serve.add_argument("--config", type=Path, default=Path("sotto.toml"), help="default: %(default)s")
    serve.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    commands.add_parser("version", help="print the version")
    # Internal: these are given their sockets and tables by `serve`.
    commands.add_parser("worker")
    commands.add_parser("control")
    options = parser.parse_args(arguments)

    if options.command == "version":
        from importlib.metadata import version

        print(f"sotto {version('sotto')}")
        return 0
    if options.command == "serve":
        # Children inherit it: what one of them logs looks like what another does.
        os.environ["SOTTO_LOG_LEVEL"] = options.log_level.upper()
    logging.basicConfig(
        level=os.environ.get("SOTTO_LOG_LEVEL", "INFO"),
        format=f"%(asctime)s %(levelname)s {options.command} %(name)s: %(message)s",
    )
    try:
        if options.command == "serve":
            return _serve(options.config)
        handover = Handover.receive()
        return _worker(handover) if options.command == "worker" else _control(handover)
    except HandoverError as error:
        print(f"sotto: {error}", file=sys.stderr)
        return os.EX_USAGE


def _serve(path: Path) -> int:
    from control.config import ConfigError, load
    from control.io.sockets import BindError
    from control.run_dir import RunDirError
    from control.supervisor import AlreadyRuns, Supervisor
    from fastpath_ext.table import LayoutError

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


def _worker(handover: Handover) -> int:
    """Imports nothing of control's decisions: a worker is the compiled core and its shell."""
    from fastpath_ext.worker import Worker

    (own,) = handover.workers
    os.sched_setaffinity(0, {own.cpu})
    # Ctrl-C is for the supervisor to act upon.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker = Worker(own.config_fd, own.state_fd, own.uplink_fd, [one.fd for one in own.sockets])
    keeper = Keeper(handover)
    if handover.predecessor_fd < 0 or wait_for_end(handover.predecessor_fd):
        keeper.begins()
        worker.run()
    keeper.close()
    logging.shutdown()
    # The next one begins when this process is gone: no time for the interpreter to tidy up.
    os._exit(0)


def _control(handover: Handover) -> int:
    """SIGTERM cancels control.app.run, which says goodbye before it lets itself be cancelled."""
    import asyncio

    import uvloop

    from control.app import run
    from control.config import Config

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    folder = Path(handover.run_dir)
    silent = False

    async def cancellable() -> int:
        nonlocal silent
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def leave_silently() -> None:
            nonlocal silent
            silent = True
            task.cancel()

        loop.add_signal_handler(signal.SIGTERM, task.cancel)
        # Another control process follows: nobody is told, nobody loses media.
        loop.add_signal_handler(signal.SIGHUP, leave_silently)
        lock = await _only_one(control_lock(folder))
        orphan = loop.create_task(_end_as_orphan(Orphanhood(handover), leave_silently))
        try:
            return await run(Config.from_json(handover.config), handover, lambda: silent) or 0
        finally:
            orphan.cancel()
            lock.close()

    try:
        return uvloop.run(cancellable())
    except asyncio.CancelledError:
        return 0


async def _only_one(path: Path) -> Lock:
    """Two control processes never write one table: waits until a former one has ended."""
    import asyncio

    while True:
        try:
            return Lock(path)
        except BlockingIOError:
            logging.getLogger("sotto.control").warning("waiting for the end of process %s", holder(path))
            await asyncio.sleep(CONTROL_LOCK_S)


async def _end_as_orphan(orphanhood: Orphanhood, end: Callable[[], None]) -> None:
    import asyncio

    while not orphanhood.is_over():  # noqa: ASYNC110 - a lock of another process is no event
        await asyncio.sleep(orphanhood.look_s)
    end()


if __name__ == "__main__":
    sys.exit(main())
