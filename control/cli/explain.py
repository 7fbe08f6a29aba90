"""`sotto explain`: why can this person not see or hear?"""

import json
from pathlib import Path

import click

from control.cli.asking import Server
from control.cli.main import AS_JSON, CONFIG, Failure, load_or_exit
from control.cli.marks import mark


@click.command()
@CONFIG
@click.argument("user")
@AS_JSON
def explain(path: Path, user: str, as_json: bool) -> None:
    """Why can this person not see or hear? USER is their Matrix id, @name:server.

    Exit status: 0 nothing is wrong from here, 1 something is, 68 they are in no conference.
    """
    told = Server(load_or_exit(path)).get("/explain", user=user)
    if as_json:
        click.echo(json.dumps(told))
        return
    if not told:
        raise Failure(
            f"{user} is in no conference of this server: nothing of a call of theirs has arrived, or it was"
            " refused (`sotto status --json`, counts.invites_refused says how many and why)",
            68,
        )
    wrong = False
    for device in told:
        click.echo(
            f"conference {device['conference']}, member {device['member']}, device {device['device_id']}"
        )
        for finding in device["findings"]:
            wrong |= finding["level"] != "ok"
            click.echo(f"  {mark(finding['level'])} {finding['text']}")
            if finding["fix"]:
                click.echo(f"      {finding['fix']}")
    click.get_current_context().exit(1 if wrong else 0)
