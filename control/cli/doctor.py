"""`sotto doctor`: everything a conference needs, one line each, each problem with its fix."""

import json
from pathlib import Path

import click

from control.cli.checks import CHECKS, Case, Result
from control.cli.main import AS_JSON, CONFIG, load_or_exit
from control.cli.marks import mark


@click.command()
@CONFIG
@AS_JSON
@click.option("--only", multiple=True, type=click.Choice(list(CHECKS)), help="This check; may be repeated.")
def doctor(path: Path, as_json: bool, only: tuple[str, ...]) -> None:
    """Check everything a conference needs; can be run while the server runs.

    Exit status: 0 nothing wrong (warnings allowed), 1 an error, 78 the configuration cannot be used.
    """
    case = Case(load_or_exit(path))
    worst = 0
    told: list[dict[str, str]] = []
    for name in CHECKS:
        if only and name not in only:
            continue
        for result in _results(name, case):
            worst = max(worst, ("ok", "warning", "error").index(result.level))
            if as_json:
                told.append({"check": name, "level": result.level, "text": result.text, "fix": result.fix})
                continue
            click.echo(f"{mark(result.level)} {result.text}")
            if result.fix:
                click.echo("".join(f"         {line}\n" for line in result.fix.splitlines()), nl=False)
    if as_json:
        click.echo(json.dumps(told, indent=1))
    elif worst == 0:
        click.echo("\nNothing stands in the way of a conference.")
    click.get_current_context().exit(1 if worst == 2 else 0)


def _results(name: str, case: Case) -> list[Result]:
    try:
        return list(CHECKS[name](case))
    except Exception as error:  # a check that fails is a finding, and no end of the others
        return [Result("error", f"the check {name} itself failed: {type(error).__name__}: {error}")]
