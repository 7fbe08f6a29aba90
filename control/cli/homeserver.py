"""Single questions to a homeserver, for init and doctor: no sync, no encryption, no state."""

import hashlib
import hmac
import json
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

TIMEOUT_S = 10.0
ANSWER_MAX = 1 << 20


_SHARED_SECRET = re.compile(
    r"""^\s*["']?registration_shared_secret["']?:[ \t]*["']?([^"'\s#,]+)""", re.MULTILINE
)


class HomeserverError(Exception):
    """It did not answer, or said no; the text says which and why. `code` is Matrix's."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON object and the headers it came with."""

    body: dict[str, Any]
    headers: dict[str, str]


def request(url: str, body: dict[str, Any] | None = None, token: str = "", method: str = "") -> Answer:
    """HomeserverError for anything but a JSON object with status 200."""
    if not url.startswith(("http://", "https://")):
        raise HomeserverError("this is no http or https URL")
    asked = urllib.request.Request(  # noqa: S310
        url,
        data=None if body is None else json.dumps(body).encode(),
        method=method or ("GET" if body is None else "POST"),
        headers={"Content-Type": "application/json"}
        | ({"Authorization": f"Bearer {token}"} if token else {}),
    )
    try:
        with urllib.request.urlopen(asked, timeout=TIMEOUT_S) as reply:  # noqa: S310
            text, headers = reply.read(ANSWER_MAX), dict(reply.headers)
    except urllib.error.HTTPError as error:
        told = _object(error.read(ANSWER_MAX))
        code = str(told.get("errcode", ""))
        said = str(told.get("error", error.reason))[:200]
        if code == "M_LIMIT_EXCEEDED" and isinstance(wait := told.get("retry_after_ms"), int):
            said += f", again in {wait / 1000:.0f} s"
        raise HomeserverError(f"HTTP {error.code} {code} {said}".replace("  ", " "), code) from None
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise HomeserverError(f"no answer ({reason})") from None
    return Answer(_object(text), {name.lower(): value for name, value in headers.items()})


def versions(base: str) -> Answer:
    """What the homeserver speaks."""
    answer = request(f"{base}/_matrix/client/versions")
    if not isinstance(answer.body.get("versions"), list):
        raise HomeserverError("something answers there, but no Matrix homeserver")
    return answer


def log_in(base: str, user: str, password: str) -> str:
    """The whole user id. The device made for it is given back at once."""
    answer = request(
        f"{base}/_matrix/client/v3/login",
        {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": user},
            "password": password,
            "initial_device_display_name": "sotto (a test of the login)",
        },
    ).body
    request(f"{base}/_matrix/client/v3/logout", {}, str(answer["access_token"]))
    return str(answer["user_id"])


def whoami(base: str, token: str) -> dict[str, Any]:
    return request(f"{base}/_matrix/client/v3/account/whoami", token=token).body


def shared_secret(path: Path) -> str:
    """Of a file with nothing else, or of Synapse's homeserver.yaml. HomeserverError where there is none."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise HomeserverError(str(getattr(error, "strerror", error))) from None
    found = _SHARED_SECRET.search(text)
    if found is not None:
        return found[1]
    if not text or len(text.split()) > 1:
        raise HomeserverError("neither one word nor a line registration_shared_secret: ...")
    return text


def register(base: str, name: str, password: str, secret: str) -> bool:
    """Makes an account by Synapse's shared secret; False where one of that name is there already."""
    url = f"{base}/_synapse/admin/v1/register"
    nonce = str(request(url).body.get("nonce", ""))
    message = "\0".join((nonce, name, password, "notadmin")).encode()
    mac = hmac.new(secret.encode(), message, hashlib.sha1).hexdigest()
    body = {"nonce": nonce, "username": name, "password": password, "admin": False, "mac": mac}
    try:
        request(url, body)
    except HomeserverError as error:
        if error.code == "M_USER_IN_USE":
            return False
        if "HMAC" in str(error):
            raise HomeserverError("the homeserver has another registration_shared_secret") from None
        raise
    return True


def is_synapse(base: str) -> bool:
    """The only one whose message limit is known and can be lifted."""
    try:
        return "server_version" in request(f"{base}/_synapse/admin/v1/server_version").body
    except HomeserverError:
        return False


def lift_rate_limit(base: str, user_id: str, admin_token: str) -> None:
    """Synapse: the bot may send as much as it likes."""
    request(
        f"{base}/_synapse/admin/v1/users/{quote(user_id)}/override_ratelimit",
        {"messages_per_second": 0, "burst_count": 0},
        admin_token,
    )


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
