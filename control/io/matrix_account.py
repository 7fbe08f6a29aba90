"""The bot's login and where its keys live: one device for the life of the data folder.

A new device on every start would make every person's client share its room keys anew and old events
unreadable, so the login, the Olm account and the key that protects it are kept in the data folder, readable
by its owner alone.
"""

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from nio import AsyncClient, AsyncClientConfig, ErrorResponse, LoginResponse, WhoamiError

from control.io.matrix_sharing import SharingClient

DEVICE_NAME = "Sotto conference server"
# Requests of matrix-nio end after this; above a homeserver's slowest sane answer, below the life of an
# invite.
REQUEST_TIMEOUT_S = 30.0


# What a homeserver says when asking again cannot help; anything else (a proxy's 502, a database that starts)
# can pass.
REFUSALS = frozenset(
    {"M_FORBIDDEN", "M_UNKNOWN_TOKEN", "M_MISSING_TOKEN", "M_USER_DEACTIVATED", "M_USER_LOCKED"}
)


class AccountError(Exception):
    """The bot cannot log in; the text says why and what to do."""


class HomeserverUnavailable(Exception):
    """The homeserver answered, but not as one that works; asking again may help."""


@dataclass(frozen=True, slots=True)
class Login:
    """What a homeserver gave at login."""

    user_id: str
    device_id: str
    access_token: str

    def __repr__(self) -> str:
        return "Login(...)"


async def open_account(
    homeserver_url: str, user_id: str, data_dir: Path, password: str | None, access_token: str | None
) -> AsyncClient:
    """A logged-in client with its encryption store loaded.

    Uses the login kept in `data_dir` when there is one that still works, else the access token, else the
    password. Raises AccountError, or OSError where the data folder cannot be written.
    """
    folder = data_dir / "matrix"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    config = AsyncClientConfig(
        # The queue in matrix_send.py waits and retries; matrix-nio would sleep a time of the homeserver's
        # choosing, unseen.
        max_limit_exceeded=0,
        max_timeouts=0,
        request_timeout=REQUEST_TIMEOUT_S,
        encryption_enabled=True,
        store_sync_tokens=False,
        pickle_key=_pickle_key(folder),
    )
    client = SharingClient(homeserver_url, user_id, store_path=str(folder), config=config)
    try:
        await _log_in(client, folder / "login.json", user_id, password, access_token)
    except BaseException:
        await client.close()
        raise
    return client


def kept_login(user_id: str, data_dir: Path) -> Login | None:
    """That of the last start, if there is one; the homeserver may not accept it any more."""
    return _read_login(data_dir / "matrix" / "login.json", user_id)


async def _log_in(
    client: AsyncClient, kept: Path, user_id: str, password: str | None, access_token: str | None
) -> None:
    login = _read_login(kept, user_id)
    if login is not None and access_token in (None, login.access_token):
        client.restore_login(login.user_id, login.device_id, login.access_token)
        answer = await client.whoami()
        if not isinstance(answer, WhoamiError):
            return
        _check_refusal(answer)
        if password is None:
            raise AccountError(
                "the homeserver no longer accepts the kept login of the bot: give a new access token, "
                "or the password"
            )
    if access_token is not None:
        client.access_token = access_token
        answer = await client.whoami()
        if isinstance(answer, WhoamiError):
            _check_refusal(answer)
            raise AccountError(f"the homeserver refused the bot's access token: {answer.message}")
        if answer.user_id != user_id or not answer.device_id:
            raise AccountError(
                "the access token belongs to another user than homeserver.user_id, or to no device"
            )
        client.restore_login(answer.user_id, answer.device_id, access_token)
    elif password is not None:
        reply = await client.login(password, device_name=DEVICE_NAME)
        if not isinstance(reply, LoginResponse):
            _check_refusal(reply)
            raise AccountError(f"the homeserver refused the bot's password: {reply.message}")
    else:
        raise AccountError("neither a password nor an access token is configured for the bot")
    write_private(kept, json.dumps(asdict(Login(client.user_id, client.device_id, client.access_token))))


def _check_refusal(answer: ErrorResponse) -> None:
    if answer.status_code not in REFUSALS:
        raise HomeserverUnavailable(answer.status_code or "no Matrix answer")


def _read_login(path: Path, user_id: str) -> Login | None:
    """The kept login; None when there is none, it is unreadable or of another user."""
    try:
        value = json.loads(path.read_text())
        login = Login(str(value["user_id"]), str(value["device_id"]), str(value["access_token"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return login if login.user_id == user_id else None


def _pickle_key(folder: Path) -> str:
    """Protects the Olm account in the store; made once. Losing it means a new device."""
    path = folder / "pickle_key"
    try:
        return path.read_text()
    except FileNotFoundError:
        key = secrets.token_urlsafe(32)
        write_private(path, key)
        return key


def write_private(path: Path, text: str) -> None:
    """Replaces the file in one step, readable by its owner alone: a kill leaves the old or the new one."""
    scratch = path.with_name(path.name + ".new")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


class SyncPosition:
    """The position in the homeserver's timeline, stored only after everything before it was handled."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "matrix" / "position"

    def load(self) -> str | None:
        """The stored position; None on the first start."""
        try:
            return self._path.read_text() or None
        except OSError:
            return None

    def store(self, token: str) -> None:
        """Keeps it; OSError when the disk refuses."""
        write_private(self._path, token)
