"""Accounts and rooms for the demo and for tests, made over HTTP with a homeserver's registration secret."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp

from control.protocol.names import PREFIX

ANNOUNCEMENT = f"{PREFIX}.conference"
TIMEOUT = aiohttp.ClientTimeout(total=60)

# What a new room has without our line, since an override replaces the whole map (Synapse, room version 12).
POWER_OF_EVENTS = {
    "m.room.name": 50,
    "m.room.avatar": 50,
    "m.room.canonical_alias": 50,
    "m.room.power_levels": 100,
    "m.room.history_visibility": 100,
    "m.room.encryption": 100,
    "m.room.server_acl": 100,
    "m.room.tombstone": 150,
}


class HomeserverRefused(Exception):
    """A request was answered with an error; `errcode` is the homeserver's."""

    def __init__(self, status: int, errcode: str, text: str) -> None:
        super().__init__(f"{status} {errcode}: {text}")
        self.status = status
        self.errcode = errcode


@dataclass(frozen=True, slots=True)
class Account:
    user_id: str
    password: str
    access_token: str
    device_id: str

    @property
    def localpart(self) -> str:
        return self.user_id[1:].partition(":")[0]


class HomeserverClient:
    """The few calls of the client-server and Synapse's admin API that are needed to set a stage."""

    def __init__(self, url: str, registration_secret: str = "") -> None:
        self._url = url
        self._secret = registration_secret

    async def register(
        self, name: str, *, password: str | None = None, display_name: str | None = None, admin: bool = False
    ) -> Account:
        """A new account by the shared secret (Synapse's register API), logged in as a new device."""
        path = "/_synapse/admin/v1/register"
        password = password or secrets.token_urlsafe(12)
        nonce = (await self.request("GET", path))["nonce"]
        fields = [nonce, name, password, "admin" if admin else "notadmin"]
        mac = hmac.new(self._secret.encode(), "\0".join(fields).encode(), hashlib.sha1).hexdigest()
        answer = await self.request(
            "POST",
            path,
            body={
                "nonce": nonce,
                "username": name,
                "password": password,
                "admin": admin,
                "displayname": display_name or name.capitalize(),
                "mac": mac,
            },
        )
        return Account(answer["user_id"], password, answer["access_token"], answer["device_id"])

    async def logout(self, account: Account) -> None:
        """Forget the device of `account.access_token`, so that nobody encrypts for it."""
        await self.request("POST", "/_matrix/client/v3/logout", account, {})

    async def create_conference_room(
        self, owner: Account, others: Sequence[Account], name: str, *, encrypted: bool = True
    ) -> str:
        """A private room whose members may all announce conferences; everybody has joined on return."""
        room: dict[str, Any] = {
            "name": name,
            "preset": "private_chat",
            "invite": [other.user_id for other in others],
            "power_level_content_override": {"events": {**POWER_OF_EVENTS, ANNOUNCEMENT: 0}},
        }
        if encrypted:
            encryption = {"algorithm": "m.megolm.v1.aes-sha2"}
            room["initial_state"] = [{"type": "m.room.encryption", "state_key": "", "content": encryption}]
        answer = await self.request("POST", "/_matrix/client/v3/createRoom", owner, room)
        room_id = str(answer["room_id"])
        for other in others:
            await self.request("POST", f"/_matrix/client/v3/join/{quote(room_id)}", other, {})
        return room_id

    async def request(
        self, method: str, path: str, account: Account | None = None, body: Any = None
    ) -> dict[str, Any]:
        """One request, answered with its JSON; raises HomeserverRefused."""
        headers = {"Authorization": f"Bearer {account.access_token}"} if account else {}
        async with (
            aiohttp.ClientSession(timeout=TIMEOUT) as http,
            http.request(method, self._url + path, json=body, headers=headers) as response,
        ):
            answer: dict[str, Any] = json.loads(await response.read())
            if response.status != 200:
                raise HomeserverRefused(
                    response.status, answer.get("errcode", "M_UNKNOWN"), answer.get("error", "")
                )
            return answer
