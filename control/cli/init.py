"""`sotto init`: the configuration and the bot's account."""

import os
import pwd
import secrets
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import click

from control.cli import homeserver as ask
from control.cli.main import Failure
from control.cli.marks import mark
from control.config import ConfigError, parse


@click.command()
@click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    default=Path("sotto.toml"),
    envvar="SOTTO_CONFIG",
    show_default=True,
    help="The file to write; one that is there is left alone.",
)
@click.option("--homeserver", help="Base URL of the homeserver as this machine reaches it.")
@click.option("--user", help="The bot's name (sotto) or whole Matrix id.")
@click.option(
    "--password-file",
    type=click.Path(path_type=Path),
    help="With the bot's password on one line; made if missing.",
)
@click.option(
    "--registration-secret-file",
    type=click.Path(path_type=Path, exists=True),
    help="With Synapse's registration_shared_secret, or its homeserver.yaml: the bot's account is made.",
)
@click.option(
    "--admin-token-file",
    type=click.Path(path_type=Path, exists=True),
    help="Access token of a Synapse administrator: lifts the bot's message limit.",
)
@click.option(
    "--advertise", multiple=True, help="Public address of this machine, where a NAT stands before it."
)
@click.option(
    "--http",
    "http_address",
    default="127.0.0.1:8450",
    show_default=True,
    help="Where the page and the figures are served, for a TLS proxy on this machine.",
)
@click.option(
    "--data-dir",
    default="data",
    show_default=True,
    help="What must outlive a restart; relative to the configuration.",
)
@click.option(
    "--owner",
    help="The system account that the server will run as: password and data folder become its own (as root).",
)
@click.option("--yes", is_flag=True, help="Ask nothing: what is not given is as the questions propose.")
def init(
    path: Path,
    homeserver: str | None,
    user: str | None,
    password_file: Path | None,
    registration_secret_file: Path | None,
    admin_token_file: Path | None,
    advertise: tuple[str, ...],
    http_address: str,
    data_dir: str,
    owner: str | None,
    yes: bool,
) -> None:
    """Write a configuration: asks what it needs, or takes flags.

    Makes the bot's account where it may, logs in once to see that it works, and says what is left to do.
    When it first runs, the server signs the bot's device with cross-signing keys of the bot's own.

    Exit status: 0 written, 1 the account cannot be made or used, or the file is there, 69 the homeserver does
    not answer, 78 the options make no configuration.
    """
    if path.exists():
        raise Failure(f"{path} is there already: change it by hand, or give another --config")
    folder = path.resolve().parent
    if not os.access(folder, os.W_OK):
        why = "cannot be written by this user" if folder.exists() else f"is not there (mkdir -p {folder})"
        raise Failure(f"{folder} {why}")
    if owner is not None:
        _known(owner, folder / data_dir)
    homeserver = _asked(homeserver, "Homeserver as this machine reaches it", "http://127.0.0.1:8008", yes)
    homeserver = homeserver.rstrip("/")
    user = _asked(user, "Name of the bot's account", "sotto", yes)
    password = (password_file or folder / "bot.password").absolute()

    def text(user_id: str) -> str:
        return _text(homeserver, user_id, password, folder, advertise, http_address, data_dir)

    name, _, server = user.removeprefix("@").partition(":")
    try:  # before anything is made
        parse(text(f"@{name}:{server or 'example.org'}"), path, {})
    except ConfigError as error:
        raise Failure(str(error).partition(": ")[2], os.EX_CONFIG) from None
    try:
        ask.versions(homeserver)
    except ask.HomeserverError as error:
        raise Failure(
            f"{homeserver}: {error}. Is it running, and is this its client API's address?", os.EX_UNAVAILABLE
        ) from None
    user_id = _account(homeserver, user, password, registration_secret_file)
    if admin_token_file is not None:
        try:
            ask.lift_rate_limit(homeserver, user_id, admin_token_file.read_text().strip())
            click.echo(f"{mark('ok')} the homeserver no longer limits the bot's messages")
        except ask.HomeserverError as error:
            click.echo(f"{mark('warning')} the message limit stays: {error}")
    elif ask.is_synapse(homeserver):
        click.echo(
            f"{mark('warning')} a stock Synapse limits the bot to a message in 5 s: enough for calls, slow"
            " when many join at once.\n"
            "         Lift it with --admin-token-file, or as an administrator:\n         "
            f"curl -X POST -H \"Authorization: Bearer $TOKEN\" -d '{{}}' "
            f"{homeserver}/_synapse/admin/v1/users/{user_id}/override_ratelimit"
        )
    path.write_text(text(user_id))
    if owner is not None:
        _hand_over(owner, password, folder / data_dir)
    click.echo(f"{mark('ok')} {path} written\n\nNext: sotto doctor --config {path}")


def _asked(given: str | None, question: str, default: str, yes: bool) -> str:
    if given:
        return given
    return default if yes else str(click.prompt(question, default=default))


def _account(homeserver: str, user: str, password: Path, secret_file: Path | None) -> str:
    """Made where it may be, tried in any case; its whole id. Failure says what to do by hand."""
    if not password.exists():
        _write_secret(password, secrets.token_urlsafe(24))
        click.echo(f"{mark('ok')} {password}: a new password for the bot")
    try:
        secret = password.read_text().strip()
    except OSError as error:
        raise Failure(f"{password}: {error.strerror}") from None
    name = user.removeprefix("@").partition(":")[0]
    was_there = False
    if secret_file is not None:
        try:
            was_there = not ask.register(homeserver, name, secret, ask.shared_secret(secret_file))
        except ask.HomeserverError as error:
            raise Failure(f"the account could not be made: {error} ({secret_file})") from None
        click.echo(f"{mark('ok')} account {name}: {'is there already' if was_there else 'made'}")
    try:
        user_id = ask.log_in(homeserver, user, secret)
    except ask.HomeserverError as error:
        if error.code == "M_LIMIT_EXCEEDED":
            raise Failure(f"the homeserver takes no log-ins for now ({error}): try again then") from None
        help_ = (
            f"The account is there with another password: put that into {password}, or take another --user."
            if was_there
            else f"Make the account first, with the password in {password}:\n"
            f'    register_new_matrix_user -u {name} -p "$(cat {password})" --no-admin {homeserver}\n'
            "or give --registration-secret-file (Synapse), or make it in the server's admin room"
            " (docs/operations.md, Homeservers)."
        )
        raise Failure(f"{user} cannot log in ({error}). {help_}") from None
    click.echo(f"{mark('ok')} {user_id} can log in")
    return user_id


def _write_secret(path: Path, text: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from None
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")


def _known(owner: str, data: Path) -> None:
    try:
        pwd.getpwnam(owner)
    except KeyError:
        raise Failure(
            f"there is no system account {owner}:\n"
            f"    useradd --system --home-dir {data} --shell /usr/sbin/nologin {owner}"
        ) from None


def _hand_over(owner: str, password: Path, data: Path) -> None:
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in (password, data):
            shutil.chown(path, owner, owner)
    except OSError as error:
        raise Failure(f"{error.filename} cannot be given to {owner}: {error.strerror}") from None
    click.echo(f"{mark('ok')} {password} and {data} belong to {owner}")


def _text(
    homeserver: str,
    user_id: str,
    password: Path,
    folder: Path,
    advertise: tuple[str, ...],
    http_address: str,
    data_dir: str,
) -> str:
    """Of the file."""
    shown = password.relative_to(folder) if password.is_relative_to(folder) else password
    lines = [
        "# Made by `sotto init`. Every option is explained by `sotto config options`.",
        "",
        "[homeserver]",
        f'url = "{homeserver}"',
        f'user_id = "{user_id}"',
        f'password_file = "{shown}"',
        "",
        "[server]",
        f'data_dir = "{data_dir}"',
        f'http = "{http_address}"',
        "",
        "[media]",
        "port = 40000",
    ]
    if advertise:
        lines.append("advertise = [" + ", ".join(f'"{address}"' for address in advertise) + "]")
    lines += ["", "[client]"]
    if urlsplit(homeserver).hostname in ("127.0.0.1", "::1", "localhost"):
        lines.append("# The homeserver as browsers reach it:")
        lines.append(f'# homeserver_url = "https://{user_id.partition(":")[2]}"')
    return "\n".join(lines) + "\n"
