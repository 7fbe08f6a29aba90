"""What the commands say of themselves."""

from typing import Final

SOTTO: Final = """A conference server for Matrix that forwards media it cannot decrypt.

First time: `sotto init` asks what it needs and writes sotto.toml, `sotto doctor` says what is still in the
way, `sotto serve` runs.

The configuration is sotto.toml in the folder where a command is called, or what --config or the variable
SOTTO_CONFIG names. Commands that speak to a running server run as its user, or as root.
`sotto COMMAND --help` says more of each, exit statuses too.
"""
COMMANDS: Final = {
    "init": "Write a configuration: asks, or takes flags; can make the bot's account.",
    "serve": "Run the server until it is told to stop.",
    "doctor": "Check everything a conference needs; each problem with its fix.",
    "status": "What goes on now: conferences, people, rates, loss, load.",
    "explain": "Why can this person not see or hear?",
    "drain": "Take no new conferences; wait until the last one has ended.",
    "upgrade": "Renew the running server with what is installed now; no call drops.",
    "config": "The configuration in use, and every option explained.",
    "join": "Join a conference from the terminal: record, send a file, watch figures.",
    "demo": "A conference on this machine, with a homeserver of its own.",
    "bench": "Measure what this machine can carry.",
    "version": "Which build this is.",
    "completion": "What makes the Tab key complete commands and options in your shell.",
}
MODULES: Final = {
    "version": "small",
    "completion": "small",
    "config": "settings",
    "demo": "small",
    "join": "small",
    "bench": "small",
    "drain": "running",
    "upgrade": "running",
}
"""Where commands are, if not in a file of their own name."""
