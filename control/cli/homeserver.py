"""Single questions to a homeserver, for init and doctor: no sync, no encryption, no state."""

import hashlib
import hmac
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

TIMEOUT_S = 10.0
ANSWER_MAX = 1 << 20


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


def register(base: str, name: str, password: str, shared_secret: str) -> str:
    """Makes an account by Synapse's shared secret; its id, or of one that is there already."""
    url = f"{base}/_synapse/admin/v1/register"
    nonce = str(request(url).body["nonce"])
    message = "\0".join((nonce, name, password, "notadmin")).encode()
    mac = hmac.new(shared_secret.encode(), message, hashlib.sha1).hexdigest()
    body = {"nonce": nonce, "username": name, "password": password, "admin": False, "mac": mac}
    try:
        return str(request(url, body).body["user_id"])
    except HomeserverError as error:
        if error.code == "M_USER_IN_USE":
            return name
        raise


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
