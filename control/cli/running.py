"""`sotto drain` and `sotto upgrade`: what is done to a server that runs."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from control.cli.asking import Server
from control.cli.main import AS_JSON, CONFIG, Failure, load_or_exit
from control.cli.status import counted
from control.config import Config
from control.io.sockets import BindError, bind_media
from control.moving import first_port

LOOK_S = 0.5
UPGRADE_S = 180.0
"""All processes of a large machine are renewed within this; 2 workers take about 2 s. Members who never come
over are waited for 120 s."""


@click.command()
@CONFIG
@click.option("--off", is_flag=True, help="Take conferences again.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Return when the last one has ended.")
@AS_JSON
def drain(path: Path, off: bool, wait: bool, as_json: bool) -> None:
    """Take no new conferences; those that go on go on. Returns when the last member has left.

    Exit status: 0 empty (or --no-wait, --off), 69 no server runs, 78 the configuration cannot be used.
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
            spinner.update(f"still there: {_named(len(told['conferences']), people)}")
            time.sleep(LOOK_S)
            told = server.get("/status")
    _say(told, as_json)


def _named(conferences: int, people: int) -> str:
    return f"{counted(conferences, 'conference')} with {counted(people, 'person')}"


def _say(told: dict[str, Any], as_json: bool) -> None:
    people = sum(len(each["members"]) for each in told["conferences"])
    if as_json:
        values = {"draining": told["draining"], "conferences": len(told["conferences"]), "members": people}
        click.echo(json.dumps(values))
    elif not told["draining"]:
        click.echo("new conferences are taken")
    elif people:
        click.echo(f"draining; still there: {_named(len(told['conferences']), people)}")
    else:
        click.echo("empty: the server can be stopped")


@click.command()
@CONFIG
def upgrade(path: Path) -> None:
    """Renew the running server with what is installed now: supervisor, control and each worker in its turn.

    Calls go on: sockets, tables and keys stay. To a build with another layout (`sotto version`) they move
    over: it begins on UDP ports of its own ([media].upgrade_port), members connect there beside what they
    have, and the former build ends.

    Exit status: 0 renewed, 1 not (what is installed does not start, or has no ports), 69 no server runs,
    78 the configuration cannot be used.
    """
    config = load_or_exit(path)
    server = Server(config)
    running = server.supervisor
    if not running:
        raise Failure(f"no server runs with the data folder {server.folder.parent}", os.EX_UNAVAILABLE)
    before = server.get("/status")
    installed = subprocess.run(
        [sys.executable, "-m", "control", "version", "--json"], capture_output=True, text=True, check=False
    )
    if installed.returncode:
        raise Failure(f"what is installed does not start:\n{installed.stderr.strip()}")
    told = json.loads(installed.stdout)
    # Builds from before there was "layout" say the tables' alone.
    name = "layout" if "layout" in before else "table_layout"
    if told[name] != before[name]:
        _find_ports(config, before)
        moved = f"renewed from layout {before[name]} to {told[name]}"
        _await(running, server, lambda now: _has_moved(before, now), moved)
    else:
        _await(running, server, lambda now: _is_renewed(before, now), "renewed")


def _find_ports(config: Config, before: dict[str, Any]) -> None:
    """Failure where the other build would have none: once it has begun there is no way back."""
    count = config.server.workers or len(os.sched_getaffinity(0))
    taken = {port for worker in before["workers"] for port in worker.get("ports", ())}
    try:
        first = first_port(config.media, count, taken)
        for index in range(count):
            for bound in bind_media(config.media.listen, first + index if first else 0):
                bound.close()
    except BindError as error:
        raise Failure(f"what is installed has another layout and needs ports of its own: {error}") from None


def _is_renewed(before: dict[str, Any], now: dict[str, Any]) -> str:
    """How far it is; "" when it is done."""
    starts = [worker["starts"] for worker in before["workers"]]
    renewed = [late["starts"] > early for early, late in zip(starts, now["workers"], strict=False)]
    if all(renewed) and now["control"] != before["control"] and now["ready"]:
        return ""
    return f"{sum(renewed)} of {len(renewed)} workers renewed"


def _has_moved(before: dict[str, Any], now: dict[str, Any]) -> str:
    if now["control"] == before["control"] or not now["ready"]:
        return "the other build begins"
    return f"{now['awaited']} members have not come over yet" if now["awaited"] else ""


def _await(running: int, server: Server, missing: Callable[[dict[str, Any]], str], done: str) -> None:
    os.kill(running, signal.SIGUSR2)
    began = time.monotonic()
    with Console(stderr=True).status("renewing") as spinner:
        while True:
            if time.monotonic() - began > UPGRADE_S:
                raise Failure(f"the server was not renewed within {UPGRADE_S:.0f} s: see its log")
            time.sleep(LOOK_S)
            try:
                now = server.get("/status")
            except Failure:
                continue
            if not (text := missing(now)):
                break
            spinner.update(text)
    click.echo(f"{done} in {time.monotonic() - began:.1f} s: version {now['version']}")
