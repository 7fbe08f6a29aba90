"""`sotto serve`."""

import os
from pathlib import Path

import click

from control.cli.main import CONFIG


@click.command()
@CONFIG
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="What is written to standard error. `sotto status --log-level` changes it while the server runs.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="One line for people, or one JSON object for a log collector.",
)
def serve(path: Path, log_level: str, log_format: str) -> int:
    """Run the server until it is told to stop (SIGTERM or Ctrl-C).

    Exit status: 0 stopped in order, 69 could not start (port taken, another server in the same folder),
    78 the configuration cannot be used or the homeserver refuses the bot for good.
    """
    from control.roles import serve as run

    # Children inherit it: what one of them logs looks like what another does.
    os.environ["SOTTO_LOG_LEVEL"] = log_level.upper()
    os.environ["SOTTO_LOG_FORMAT"] = log_format
    return run(path)
