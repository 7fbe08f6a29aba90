"""`sotto config`: what is in use, and what there is."""

import dataclasses
import json
from pathlib import Path

import click

from control.cli.main import AS_JSON, CONFIG, load_or_exit


@click.command()
@CONFIG
@AS_JSON
@click.argument("what", type=click.Choice(["show", "check", "options"]), default="show")
@click.option("--markdown", is_flag=True, help="With options: as docs/configuration.md.")
def config(path: Path, as_json: bool, what: str, markdown: bool) -> None:
    """The configuration: `show` what is in use after the environment, `check` it, or explain all `options`.

    Exit status: 0 it can be used, 78 it cannot.
    """
    from control.cli import options

    if what == "options" or markdown:
        if markdown:
            click.echo(options.markdown(), nl=False)
            return
        for option in options.options():
            default = option.default or "none"
            click.echo(click.style(f"[{option.section}] {option.name}", bold=True) + f" = {default}")
            click.echo(f"    {option.text}\n    Example: {option.name} = {option.example}")
        return
    loaded = load_or_exit(path)
    if what == "check":
        click.echo(f"{path}: nothing is wrong")
        return
    values = dataclasses.asdict(loaded)
    if as_json:
        click.echo(json.dumps(values, default=str))
        return
    for section, options_of in values.items():
        if section in options.HIDDEN:
            continue
        click.echo(f"[{section}]")
        for name, value in options_of.items():
            shown = json.dumps(value, default=str)
            click.echo(f"# {name}: not set" if value is None else f"{name} = {shown}")
        click.echo("")
