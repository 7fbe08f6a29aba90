"""`sotto status`: what goes on now."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from control.cli.asking import Server
from control.cli.main import AS_JSON, CONFIG, Failure, load_or_exit
from control.config import Config

Overview = Mapping[str, Any]
SAMPLE_S = 1.0
"""Rates are of the last second. Shorter: they tremble. Longer: the first figures come late."""
FAINT_AGE_S = 2.0


@click.command()
@CONFIG
@AS_JSON
@click.option("--watch", is_flag=True, help="Renew it every second until Ctrl-C.")
@click.option("--page", is_flag=True, help="Print the address of the status page, with its token.")
@click.option(
    "--log-level",
    help="Set the log level of the running server, such as debug (names people and rooms) or nio=warning.",
)
def status(path: Path, as_json: bool, watch: bool, page: bool, log_level: str | None) -> None:
    """What goes on now: conferences, people, rates, loss, layers, load, drops by reason.

    People are numbers here; `sotto explain @name:server` is about one person. With --json: totals since the
    start, with --watch one object a second.

    Exit status: 0 a server runs and has answered, 69 none runs here, 78 the configuration cannot be used.
    """
    config = load_or_exit(path)
    server = Server(config)
    if page:
        click.echo(page_address(config, server))
        return
    if log_level is not None:
        module, _, level = log_level.rpartition("=")
        server.post("/log-level", level=level, module=module)
        click.echo(f"{module or 'everything'} is logged from {level} on, until the server restarts")
        return
    before = server.get("/status")
    if as_json and not watch:
        click.echo(json.dumps(before))
        return
    console = Console()
    with Live(console=console, auto_refresh=False, transient=watch) as live:
        while True:
            time.sleep(SAMPLE_S)
            try:
                now = server.get("/status")
            except Failure as error:
                if not watch:
                    raise
                live.update(Text(error.message, style="red"), refresh=True)
                continue
            if as_json:
                click.echo(json.dumps(now))
            else:
                live.update(screen(before, now), refresh=True)
            if not watch:
                return
            before = now


def page_address(config: Config, server: Server) -> str:
    """Where a browser on this machine finds the status page."""
    from control.io.status_page import token_file

    server.get("/status")  # a server that is gone has no page
    host, port = config.http_address
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/status?token={token_file(server.folder).read_text()}"


def screen(before: Overview, now: Overview) -> Group:
    """Both tables and the drops, with rates between the two overviews."""
    seconds = max(now["time"] - before["time"], 0.001)
    people = sum(len(each["members"]) for each in now["conferences"])
    state = (
        Text("ready", style="green") if now["ready"] else Text(f"not ready: {now['not_ready']}", style="red")
    )
    if now["draining"]:
        state += Text("  draining", style="yellow")
    if now["awaited"]:
        state += Text(f"  {now['awaited']} have to come over from the former build", style="yellow")
    head = Text(f"{counted(len(now['conferences']), 'conference')}, {counted(people, 'person')}   ") + state
    parts: list[Text | Table] = [head, _workers(before, now, seconds)]
    if people:
        parts.append(_conferences(before, now, seconds))
    drops = _drops(before, now)
    if drops:
        parts.append(drops)
    return Group(*parts)


def counted(number: int, what: str) -> str:
    """As people say it."""
    return f"{number} {what if number == 1 else {'person': 'people'}.get(what, what + 's')}"


def _workers(before: Overview, now: Overview, seconds: float) -> Table:
    table = Table(box=None, pad_edge=False)
    heads = ("worker", "bit/s in", "out", "packets/s in", "out", "a message", "load", "members", "starts")
    for name in heads:
        table.add_column(name, justify="right")
    for early, late in zip(before["workers"], now["workers"], strict=False):
        # An upgrade in between may have brought counters.
        change = {
            name: count - early["counters"].get(name, count) for name, count in late["counters"].items()
        }
        run = change["tx_datagrams"] / change["tx_messages"] if change["tx_messages"] else 0.0
        load = change.get("loop_busy_us", 0) / (seconds * 1e6)
        table.add_row(
            str(late["index"]) + ("" if late["heartbeat_age_s"] < FAINT_AGE_S else " (hangs)"),
            bits(change["rx_bytes"] * 8 / seconds),
            bits(change["tx_bytes"] * 8 / seconds),
            f"{change['rx_datagrams'] / seconds:.0f}",
            f"{change['tx_datagrams'] / seconds:.0f}",
            f"{run:.1f}",
            f"{load:.0%}",
            str(late["transports"]),
            str(late["starts"]),
        )
    return table


def _conferences(before: Overview, now: Overview, seconds: float) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("conf.", "member", "state", "bit/s in", "out", "may take", "wants", "rtt", "sends", "gets"):
        left = name in ("state", "sends", "gets")
        table.add_column(name, justify="left" if left else "right", no_wrap=name not in ("sends", "gets"))
    earlier = {
        (conference["number"], member["number"]): member
        for conference in before["conferences"]
        for member in conference["members"]
    }
    for conference in now["conferences"]:
        for index, member in enumerate(conference["members"]):
            was = earlier.get((conference["number"], member["number"]), member)
            paused = f"  {member['paused']} paused" if member["paused"] else ""
            table.add_row(
                str(conference["number"]) if index == 0 else "",
                str(member["number"]),
                member["state"],
                bits((member["rx_bytes"] - was["rx_bytes"]) * 8 / seconds),
                bits((member["tx_bytes"] - was["tx_bytes"]) * 8 / seconds),
                bits(member["estimate_bps"]),
                bits(member["wanted_bps"]),
                f"{member['round_trip_ms']:.0f} ms",
                " ".join(
                    name + (" (muted)" if name in member["muted"] else "") for name in member["sources"]
                ),
                " ".join(f"{count}{layer}" for layer, count in sorted(member["layers"].items())) + paused,
            )
    return table


def _drops(before: Overview, now: Overview) -> Text | None:
    """What was dropped in between, by reason."""
    found: dict[str, int] = {}
    for early, late in zip(before["workers"], now["workers"], strict=False):
        for name, value in late["counters"].items():
            more = value - early["counters"].get(name, value)
            if more and (name.endswith("_dropped") or name == "internal_errors"):
                found[name] = found.get(name, 0) + more
    if not found:
        return None
    reasons = ", ".join(f"{name.removesuffix('_dropped')} {count}" for name, count in sorted(found.items()))
    return Text(f"dropped: {reasons}", style="yellow")


def bits(rate: float) -> str:
    """As people read it, under a head that says bit/s."""
    for unit in ("", " k", " M"):
        if rate < 1000:
            return f"{rate:.1f}{unit}" if unit == " M" else f"{rate:.0f}{unit}"
        rate /= 1000
    return f"{rate:.2f} G"
