"""The bot cross-signs its own device: clients that insist on signed devices talk to nobody else.

Once, at the first start: three Ed25519 keys (Matrix specification, "Cross-signing") are made, kept in the
data folder, uploaded, and sign the device. New ones at every start would look to people like another bot.
"""

import base64
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientError
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nio import AsyncClient

from control.io.matrix_account import write_private

log = logging.getLogger(__name__)

USAGES: Final = ("master", "self_signing", "user_signing")
_UPLOAD: Final = "/_matrix/client/v3/keys/device_signing/upload"


class _RefusedError(Exception):
    """The homeserver said no; the text says what can be done."""


class SigningKey:
    """One of the three."""

    def __init__(self, seed: bytes) -> None:
        self.seed = seed
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
        self.public = unpadded(self._private.public_key().public_bytes(*raw))

    @property
    def key_id(self) -> str:
        return f"ed25519:{self.public}"

    def sign(self, value: dict[str, Any], user_id: str) -> None:
        """Adds a signature to the object."""
        signed = unpadded(self._private.sign(canonical(value)))
        value.setdefault("signatures", {}).setdefault(user_id, {})[self.key_id] = signed


class DeviceSigning:
    """Of the bot's account; `sign_once` until it is `done`."""

    def __init__(self, client: AsyncClient, data_dir: Path, password: str | None) -> None:
        """`password` is for a homeserver that asks for it again before it takes the keys."""
        self.done = False
        self._client = client
        self._path = data_dir / "matrix" / "cross_signing.json"
        self._password = password

    async def sign_once(self) -> None:
        """After the device's own keys were uploaded. ClientError, TimeoutError or OSError: to be tried again.

        Where the homeserver refuses, one line is logged, and the bot goes on with an unsigned device.
        """
        if self.done or self._client.olm is None:
            return
        try:
            await self._sign()
        except _RefusedError as refusal:
            log.warning("the bot's device is not cross-signed, which strict clients insist on: %s", refusal)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            log.warning("the bot's device is not cross-signed: a malformed answer (%s)", type(error).__name__)
        self.done = True

    async def _sign(self) -> None:
        client = self._client
        user_id, device_id = client.user_id, client.device_id
        _, known = await self._post("/_matrix/client/v3/keys/query", {"device_keys": {user_id: []}})
        kept = self._read()
        theirs = _public(known.get("master_keys", {}).get(user_id))
        if theirs is not None and (kept is None or kept["master"].public != theirs):
            raise _RefusedError(
                f"the account has cross-signing keys of another client; verify session {device_id} there"
            )
        if theirs is None:
            kept = kept or self._make()
            await self._upload(kept)
        assert kept is not None
        device = dict(known["device_keys"][user_id][device_id])
        if device["keys"][f"ed25519:{device_id}"] != client.olm.account.identity_keys["ed25519"]:
            raise _RefusedError("the homeserver names another key for it")
        key = kept["self_signing"]
        if key.key_id in device.get("signatures", {}).get(user_id, {}):
            return
        device.pop("unsigned", None)
        key.sign(device, user_id)
        path = "/_matrix/client/v3/keys/signatures/upload"
        status, answer = await self._post(path, {user_id: {device_id: device}})
        if status != 200 or answer.get("failures"):
            raise _RefusedError(f"the homeserver did not take the signature ({_code(answer)})")
        log.info("the bot's device is cross-signed")

    async def _upload(self, keys: Mapping[str, SigningKey]) -> None:
        user_id, device_id = self._client.user_id, self._client.device_id
        body: dict[str, Any] = {}
        for usage, key in keys.items():
            value = {"user_id": user_id, "usage": [usage], "keys": {key.key_id: key.public}}
            if usage != "master":
                keys["master"].sign(value, user_id)
            else:
                signed = self._client.olm.account.sign(canonical(value).decode())
                value["signatures"] = {user_id: {f"ed25519:{device_id}": signed}}
            body[f"{usage}_key"] = value
        status, answer = await self._post(_UPLOAD, body)
        if status == 401 and "session" in answer:
            body["auth"] = self._auth(answer)
            status, answer = await self._post(_UPLOAD, body)
        if status != 200:
            raise _RefusedError(f"the homeserver did not take the keys ({_code(answer)})")

    def _auth(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        stages = [flow.get("stages") for flow in asked.get("flows", [])]
        if ["m.login.password"] not in stages:
            raise _RefusedError("the homeserver wants it confirmed in a browser; log in there and verify")
        if self._password is None:
            raise _RefusedError("the homeserver asks for the bot's password: set homeserver.password_file")
        return {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": self._client.user_id},
            "password": self._password,
            "session": asked["session"],
        }

    async def _post(self, path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        headers = {
            "Authorization": f"Bearer {self._client.access_token}",
            "Content-Type": "application/json",
        }
        answer = await self._client.send("POST", path, json.dumps(body), headers)
        async with answer:
            if answer.status == 429 or answer.status >= 500:
                raise ClientError(f"status {answer.status}")
            value = await answer.json(content_type=None)
        if not isinstance(value, dict):
            raise TypeError
        return answer.status, value

    def _make(self) -> dict[str, SigningKey]:
        """Kept before they are uploaded: a kill in between leaves no identity whose keys nobody has."""
        keys = {usage: SigningKey(Ed25519PrivateKey.generate().private_bytes_raw()) for usage in USAGES}
        value = {"user_id": self._client.user_id, **{u: unpadded(key.seed) for u, key in keys.items()}}
        write_private(self._path, json.dumps(value))
        return keys

    def _read(self) -> dict[str, SigningKey] | None:
        try:
            value = json.loads(self._path.read_text())
            if value["user_id"] != self._client.user_id:
                return None
            return {usage: SigningKey(base64.b64decode(value[usage] + "=")) for usage in USAGES}
        except (OSError, ValueError, KeyError, TypeError):
            return None


def canonical(value: Mapping[str, Any]) -> bytes:
    """Canonical JSON of what is signed."""
    signed = {name: each for name, each in value.items() if name not in ("signatures", "unsigned")}
    return json.dumps(signed, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def unpadded(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def _public(key: Any) -> str | None:
    return None if key is None else next(iter(key["keys"].values()))


def _code(answer: Mapping[str, Any]) -> str:
    """Of a refusal; nothing else of what a homeserver says is logged."""
    code = answer.get("errcode")
    known = isinstance(code, str) and code.startswith("M_") and len(code) < 64 and code.isascii()
    return str(code) if known else "no code"
