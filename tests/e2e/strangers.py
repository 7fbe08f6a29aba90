"""Somebody who has an account and no business in the conference, with a Matrix client of bare HTTP."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from control.demo.people import Account, HomeserverClient, HomeserverRefused
from control.demo.run import Demo
from tests.patience import PATIENCE_S

PREFIX = "org.matrix.msc2359"
CLIENT = "/_matrix/client/v3"

# The page asks its server for names and passwords of demo people; this person answers in the server's place.
INSTEAD = """(() => {
    const ask = globalThis.fetch;
    globalThis.fetch = async (...request) => {
        const answer = await ask(...request);
        if (!String(request[0]?.url ?? request[0]).endsWith("config.json")) return answer;
        const config = await answer.json();
        config.demo.people[%s] = %s;
        return new Response(JSON.stringify(config), { headers: { "Content-Type": "application/json" } });
    };
})()"""


@dataclass
class Caller:
    """In a plain direct-message room with the focus. Its methods block, and need the homeserver's network."""

    client: HomeserverClient
    account: Account
    demo: Demo
    room_id: str
    since: str

    @classmethod
    def arrive(cls, demo: Demo) -> Self:
        return asyncio.run(cls._arrive(demo))

    @classmethod
    async def _arrive(cls, demo: Demo) -> Self:
        client = HomeserverClient(demo.homeserver.url, demo.homeserver.registration_secret)
        account = await client.register(f"mallory-{secrets.token_hex(3)}")
        bot = _stage(demo)["bot"]
        room = {"invite": [bot], "is_direct": True, "preset": "trusted_private_chat"}
        room_id = (await client.request("POST", f"{CLIENT}/createRoom", account, room))["room_id"]
        caller = cls(client, account, demo, room_id, "")
        await caller._until(
            lambda event: (
                event["type"] == "m.room.member"
                and event["state_key"] == bot
                and event["content"]["membership"] == "join"
            )
        )
        return caller

    def instead_of(self, name: str) -> str:
        """A script that makes the demo page of `name` sign in as this person."""
        person = {"user_id": self.account.user_id, "password": self.account.password}
        return INSTEAD % (json.dumps(name), json.dumps(person))

    def try_everything(self) -> dict[str, str]:
        """Every wrong call, and the code each is refused with."""
        return asyncio.run(self._try_everything())

    async def _try_everything(self) -> dict[str, str]:
        conference = await self._running_conference()
        own = Ed25519PrivateKey.generate()
        mine = {"conference_id": secrets.token_urlsafe(18), "creator": self.account.user_id}
        unknown = {"conference_id": secrets.token_urlsafe(18), "creator": conference["creator"]}
        # The focus answers nobody more than five wrong calls in a row.
        second = await type(self)._arrive(self.demo)
        of_second = {"conference_id": secrets.token_urlsafe(18), "creator": second.account.user_id}
        refused = {
            "no ticket": await self._call(join=None),
            "unknown conference": await self._call(join=(unknown, own)),
            "forged proof": await self._call(join=(conference, own)),
            "malformed description": await second._call(
                join=(of_second, own), sdp="v=0\r\nm=audio nonsense\r\n"
            ),
            "no description": await second._call(join=(of_second, own), sdp=None),
            "oversized description": await second._call(
                join=(of_second, own), sdp="v=0\r\na=" + "x" * 50_000
            ),
        }
        assert mine["conference_id"] != of_second["conference_id"]
        with pytest.raises(HomeserverRefused, match="M_TOO_LARGE"):
            await self._call(join=None, sdp="x" * 70_000)
        return refused

    async def _call(
        self, join: tuple[dict[str, str], Ed25519PrivateKey] | None, sdp: str | None = "v=0\r\n"
    ) -> str:
        """Sends an invite; the code of the refusal."""
        call_id = secrets.token_hex(8)
        content: dict[str, Any] = {
            "call_id": call_id,
            "party_id": self.account.device_id,
            "version": "1",
            "lifetime": 60000,
            "sdp_stream_metadata": {},
        }
        if sdp is not None:
            content["offer"] = {"type": "offer", "sdp": sdp}
        if join is not None:
            content[f"{PREFIX}.join"] = self._proof(call_id, *join)
        path = f"{CLIENT}/rooms/{quote(self.room_id)}/send/m.call.invite/{call_id}"
        await self.client.request("PUT", path, self.account, content)
        answer = await self._until(
            lambda event: (
                event["type"].startswith("m.call.")
                and event["sender"] != self.account.user_id
                and event["content"].get("call_id") == call_id
            )
        )
        assert answer["type"] == "m.call.reject", answer
        error = answer["content"][f"{PREFIX}.error"]
        assert len(error["message"]) > 10
        return str(error["code"])

    def _proof(self, call_id: str, conference: dict[str, str], key: Ed25519PrivateKey) -> dict[str, Any]:
        ts = int(time.time() * 1000)
        text = "\n".join(
            [
                f"{PREFIX}.ticket-proof",
                conference["conference_id"],
                conference["creator"],
                "0",
                self.account.user_id,
                self.account.device_id,
                call_id,
                str(ts),
            ]
        )
        return {
            "conference_id": conference["conference_id"],
            "creator": conference["creator"],
            "epoch": 0,
            "device_id": self.account.device_id,
            "ts": ts,
            "proof": _base64(key.sign(text.encode())),
            "open": {"verifier": _base64(key.public_key().public_bytes_raw()), "intent": "video"},
        }

    async def _running_conference(self) -> dict[str, str]:
        """What a member of the room would see: the newest announcement. Asked by one of them."""
        stage = _stage(self.demo)
        person = next(iter(stage["people"].values()))
        identifier = {"type": "m.id.user", "user": person["user_id"]}
        body = {"type": "m.login.password", "identifier": identifier, "password": person["password"]}
        login = await self.client.request("POST", f"{CLIENT}/login", None, body)
        member = Account(login["user_id"], person["password"], login["access_token"], login["device_id"])
        state: Any = await self.client.request(
            "GET", f"{CLIENT}/rooms/{quote(stage['room_id'])}/state", member
        )
        await self.client.logout(member)
        announced = [event for event in state if event["type"] == f"{PREFIX}.conference"]
        running = [event for event in announced if event["content"] and not event["content"].get("ended")]
        newest = max(running, key=lambda event: int(event["content"]["created_ts"]))
        return {"conference_id": newest["content"]["conference_id"], "creator": newest["sender"]}

    async def _until(self, wanted: Any) -> dict[str, Any]:
        """The first event of the room that is wanted, old or new."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            since = f"&since={quote(self.since)}" if self.since else ""
            answer = await self.client.request("GET", f"{CLIENT}/sync?timeout=2000{since}", self.account)
            self.since = answer["next_batch"]
            room = answer.get("rooms", {}).get("join", {}).get(self.room_id, {})
            for part in ("state", "timeline"):
                for event in room.get(part, {}).get("events", []):
                    if wanted(event):
                        found: dict[str, Any] = event
                        return found
        pytest.fail("the focus has not answered", pytrace=False)


def _stage(demo: Demo) -> dict[str, Any]:
    stage: dict[str, Any] = json.loads((demo.folder / "people.json").read_text())
    return stage


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")
