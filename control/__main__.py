"""The command line: `sotto serve`, and what the supervisor starts in its own way: `worker` and `control`."""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from control.handover import Handover, HandoverError


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
        _end_with_parent(handover.supervisor)
        return _worker(handover) if options.command == "worker" else _control(handover)
    except HandoverError as error:
        print(f"sotto: {error}", file=sys.stderr)
        return os.EX_USAGE


def _serve(path: Path) -> int:
    from control.config import ConfigError, load
    from control.io.sockets import BindError
    from control.supervisor import Supervisor

    try:
        supervisor = Supervisor(load(path, os.environ))
    except ConfigError as error:
        print(f"sotto: {error}", file=sys.stderr)
        return os.EX_CONFIG
    except (BindError, OSError) as error:
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
    Worker(own.config_fd, own.state_fd, own.uplink_fd, [one.fd for one in own.sockets]).run()
    return 0


def _control(handover: Handover) -> int:
    """SIGTERM cancels control.app.run, which says goodbye before it lets itself be cancelled."""
    import asyncio

    import uvloop

    from control.app import run
    from control.config import Config

    signal.signal(signal.SIGINT, signal.SIG_IGN)

    async def cancellable() -> int:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await run(Config.from_json(handover.config), handover) or 0

    try:
        return uvloop.run(cancellable())
    except asyncio.CancelledError:
        return 0


def _end_with_parent(supervisor: int) -> None:
    """Without the supervisor nobody gives the ports back: end as if it had asked us to."""
    import ctypes

    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != supervisor:
        raise HandoverError("the supervisor that started this process is gone")


if __name__ == "__main__":
    sys.exit(main())
