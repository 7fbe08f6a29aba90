"""The commands and what is common to them: where the configuration is, how errors end, what is coloured."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from control.cli import texts
from control.config import Config, ConfigError, load

CONFIG = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("sotto.toml"),
    envvar="SOTTO_CONFIG",
    show_default=True,
    help="The configuration file.",
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


class Commands(click.Group):
    """Commands are imported when they are called: `sotto version` does not wait for Matrix."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(texts.COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in texts.COMMANDS:
            return None
        module = __import__(f"control.cli.{texts.MODULES.get(cmd_name, cmd_name)}", fromlist=["x"])
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, text in texts.COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in texts.COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"there is no command {args[0]!r}{nearest(args[0])}", ctx)
        return super().resolve_command(ctx, args)


def nearest(name: str) -> str:
    import difflib

    close = difflib.get_close_matches(name, texts.COMMANDS, 1)
    return f" (did you mean {close[0]!r}?)" if close else ""


@click.group(cls=Commands, help=texts.SOTTO, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(None, "--version", package_name="sotto", message="%(version)s")
def sotto() -> None:
    pass


def load_or_exit(path: Path) -> Config:
    """The configuration; without one that can be used the program ends with EX_CONFIG (78)."""
    try:
        return load(path, os.environ)
    except ConfigError as error:
        raise Failure(str(error), os.EX_CONFIG) from None


class Failure(click.ClickException):
    """What went wrong, and the exit status that says so to scripts (sysexits.h)."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status

    def show(self, file: Any = None) -> None:
        click.echo(f"sotto: {self.message}", err=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    try:
        result = sotto.main(arguments, prog_name="sotto", standalone_mode=False)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.Abort:
        click.echo("sotto: interrupted", err=True)
        return 130
    except click.UsageError as error:
        error.show()
        return os.EX_USAGE
    except Failure as error:
        error.show()
        return error.status
    except click.ClickException as error:
        error.show()
        return error.exit_code
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    sys.exit(main())
