"""Commands of a few lines: version, completion, demo, join, bench."""

import json
import os
import platform
import subprocess
import sys

import click

from control.cli.main import AS_JSON, Failure


@click.command()
@AS_JSON
def version(as_json: bool) -> None:
    """Which build this is, and what it would agree with.

    Servers of one layout are upgraded in place, others move their calls over.
    """
    from importlib.metadata import version as version_of

    from control.layout import layout
    from fastpath_ext.packet_crypto import crypto_choose
    from fastpath_ext.table import LAYOUT_VERSION

    told = {
        "sotto": version_of("sotto"),
        "table_layout": LAYOUT_VERSION,
        "layout": layout(),
        "crypto": crypto_choose(),
        "python": platform.python_version(),
        "kernel": platform.release(),
    }
    if as_json:
        click.echo(json.dumps(told))
        return
    for name, value in told.items():
        click.echo(f"{name.replace('_', ' '):14}{value}")


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the shell's own lines that make the Tab key complete commands and options.

    bash: eval "$(sotto completion bash)" in ~/.bashrc; zsh: the same with zsh in ~/.zshrc;
    fish: sotto completion fish > ~/.config/fish/completions/sotto.fish
    """
    from click.shell_completion import get_completion_class

    from control.cli.main import sotto

    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(sotto, {}, "sotto", "_SOTTO_COMPLETE").source())


def _run(module: str, arguments: tuple[str, ...], what: str) -> int:
    """Another program of ours, with its own options."""
    from importlib.util import find_spec

    try:
        found = find_spec(module) is not None
    except ModuleNotFoundError:
        found = False
    if not found:
        raise Failure(f"{what} is not installed here", os.EX_UNAVAILABLE)
    called = {**os.environ, "SOTTO_CALLED_AS": f"sotto {click.get_current_context().info_name}"}
    return subprocess.call([sys.executable, "-m", module, *arguments], env=called)


_PASS_ON = {"ignore_unknown_options": True, "help_option_names": []}


@click.command(context_settings=_PASS_ON)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def demo(arguments: tuple[str, ...]) -> int:
    """A conference on this machine, with a homeserver of its own."""
    return _run("control.demo", arguments, 'the demo (pip install "sotto[demo]")')


@click.command(context_settings=_PASS_ON)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def join(arguments: tuple[str, ...]) -> int:
    """Join a conference from the terminal."""
    return _run("client", ("join", *arguments), 'the Python client (pip install "sotto[client]")')


@click.command(context_settings=_PASS_ON)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bench(arguments: tuple[str, ...]) -> int:
    """Measure what this machine can carry. Works in a checkout of the sources."""
    return _run("benchmarks", arguments, "the benchmark (it comes with the sources)")
