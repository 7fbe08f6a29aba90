"""`sotto drain` and `sotto upgrade`: what is done to a server that runs."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from control.cli.asking import Server
from control.cli.main import AS_JSON, CONFIG, Failure, load_or_exit

LOOK_S = 0.5
UPGRADE_S = 60.0
"""All processes of a large machine are renewed within this; 2 workers take about 2 s."""


@click.command()
@CONFIG
@click.option("--off", is_flag=True, help="Take conferences again.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Return when the last one has ended.")
@AS_JSON
def drain(path: Path, off: bool, wait: bool, as_json: bool) -> None:
    """Take no new conferences; those that go on go on. Returns when the last member has left.

    Exit status: 0 empty (or --no-wait, --off), 69 no server runs.
    """
    server = Server(load_or_exit(path))
    told = server.post("/drain", **({"off": "1"} if off else {}))
    if off or not wait:
        _say(told, as_json)
        return
    console = Console(stderr=True)
    with console.status("") as spinner:
        while told["conferences"]:
            people = sum(len(each["members"]) for each in told["conferences"])
            spinner.update(f"{len(told['conferences'])} conferences with {people} people go on")
            time.sleep(LOOK_S)
            told = server.get("/status")
    _say(told, as_json)


def _say(told: dict[str, Any], as_json: bool) -> None:
    people = sum(len(each["members"]) for each in told["conferences"])
    if as_json:
        values = {"draining": told["draining"], "conferences": len(told["conferences"]), "members": people}
        click.echo(json.dumps(values))
    elif not told["draining"]:
        click.echo("new conferences are taken")
    elif people:
        click.echo(f"draining: {len(told['conferences'])} conferences with {people} people go on")
    else:
        click.echo("empty: the server can be stopped")


@click.command()
@CONFIG
def upgrade(path: Path) -> None:
    """Renew the running server with what is installed now: supervisor, control and each worker in its turn.

    Calls go on: sockets, tables and keys stay. A build with another table layout is refused (exit status 1):
    stop and start the server in a quiet hour, or drain it first.
    """
    server = Server(load_or_exit(path))
    running = server.supervisor
    if not running:
        raise Failure(f"no server runs with the data folder {server.folder.parent}", os.EX_UNAVAILABLE)
    before = server.get("/status")
    installed = subprocess.run(
        [sys.executable, "-m", "control", "version", "--json"], capture_output=True, text=True, check=False
    )
    if installed.returncode:
        raise Failure(f"what is installed does not start:\n{installed.stderr.strip()}")
    layout = json.loads(installed.stdout)["table_layout"]
    if layout != before["table_layout"]:
        raise Failure(
            f"the running server has table layout {before['table_layout']}, what is installed has {layout}:"
            " `sotto drain`, then stop and start it"
        )
    os.kill(running, signal.SIGUSR2)
    began = time.monotonic()
    with Console(stderr=True).status("renewing") as spinner:
        while True:
            if time.monotonic() - began > UPGRADE_S:
                raise Failure("the server was not renewed within a minute: see its log")
            time.sleep(LOOK_S)
            try:
                now = server.get("/status")
            except Failure:
                continue
            renewed = [
                late["starts"] > early["starts"]
                for early, late in zip(before["workers"], now["workers"], strict=True)
            ]
            spinner.update(f"{sum(renewed)} of {len(renewed)} workers renewed")
            if all(renewed) and now["control"] != before["control"] and now["ready"]:
                break
    click.echo(f"renewed in {time.monotonic() - began:.1f} s: version {now['version']}")
