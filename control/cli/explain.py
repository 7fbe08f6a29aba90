"""`sotto explain`: why can this person not see or hear?"""

import json
from pathlib import Path

import click

from control.cli.asking import Server
from control.cli.main import AS_JSON, CONFIG, Failure, load_or_exit
from control.cli.marks import mark
from control.protocol.reference import read_reference

UNKNOWN_PERSON = (
    "{} is in no conference of this server, and none of the latest calls was theirs: nothing of a call has"
    " arrived. Is the bot in their direct-message room, and does their homeserver reach this one's?"
)
UNKNOWN_NUMBER = (
    "none of the latest thousand calls has this number. Was it read out right, and is it of a call to this"
    " server, since it last started? The log has older ones (journalctl -u sotto)."
)


@click.command()
@CONFIG
@click.argument("who")
@AS_JSON
def explain(path: Path, who: str, as_json: bool) -> None:
    """Why can this person not see or hear, or not join?

    WHO is their Matrix id, @name:server, or the number of their call, such as K7M-2QX, which their client
    shows under "details" and with every error, and which the log has.

    Exit status: 0 nothing is wrong from here, 1 something is, 68 no call of theirs is known.
    """
    server = Server(load_or_exit(path))
    number = read_reference(who) is not None
    if not number and not (who.startswith("@") and ":" in who):
        raise click.UsageError(f"{who!r} is neither @name:server nor the number of a call, such as K7M-2QX")
    told = server.get("/explain", user=who)
    if as_json:
        click.echo(json.dumps(told))
        return
    if not told:
        raise Failure(UNKNOWN_NUMBER if number else UNKNOWN_PERSON.format(who), 68)
    wrong = False
    for device in told:
        if device["conference"] is None:
            click.echo(f"call {device['call']}, over")
        else:
            click.echo(
                f"call {device['call']}: conference {device['conference']}, member {device['member']},"
                f" device {device['device_id']}"
            )
        for finding in device["findings"]:
            wrong |= finding["level"] != "ok"
            click.echo(f"  {mark(finding['level'])} {finding['text']}")
            if finding["fix"]:
                click.echo(f"      {finding['fix']}")
    click.get_current_context().exit(1 if wrong else 0)
