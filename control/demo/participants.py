"""People of the demo in real browsers: what they do, and what can be read of what they see and hear."""

from __future__ import annotations

import base64
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from control.demo.browsers import WAIT_S, Browser, Page

# Runs in a page before its own scripts. Media keys cannot be read from the client, and shall not: so whoever
# drives the browser watches what goes to the media worker, and the passwords in the focus' descriptions.
WATCH = """(() => {
    const seen = { keys: [], passwords: [] };
    Object.defineProperty(globalThis, "sottoWatch", { value: seen });
    const post = Worker.prototype.postMessage;
    Worker.prototype.postMessage = function (message, ...rest) {
        if (message?.type === "send_key") {
            const { member, source, epoch, ratchet, key } = message;
            seen.keys.push({ member, source, epoch, ratchet, key: btoa(String.fromCharCode(...key)) });
        }
        return post.call(this, message, ...rest);
    };
    const remote = RTCPeerConnection.prototype.setRemoteDescription;
    RTCPeerConnection.prototype.setRemoteDescription = function (description, ...rest) {
        seen.passwords.push(...[...description.sdp.matchAll(/^a=ice-pwd:(\\S+)/gm)].map((match) => match[1]));
        return remote.call(this, description, ...rest);
    };
})()"""

SAMPLE = """(async () => {
    const stats = await sotto.stats();
    return { at_ms: performance.now(), state: sotto.state(), stats };
})()"""

# The picture on the screen, not what arrives: milliseconds from asking until it is there.
FOCUS = """(async () => {
    const begun = performance.now();
    sotto.focus(%d);
    for (;;) {
        const passed = performance.now() - begun;
        const tile = sotto.state().tiles.find(({ member }) => member === %d);
        if (tile?.frameHeight === %d && tile.shown) return passed;
        if (passed > %d) return null;
        await new Promise((resolve) => setTimeout(resolve, 10));
    }
})()"""

FULL_HEIGHT = 720
JOIN_S = 150.0
"""2 to 5 s where the machine has time; 90 s were seen where sixty processes shared two cores. The page itself
gives up sooner where something is wrong (FOCUS_JOIN_MS, ANSWER_MS, CONNECT_MS in web/src/protocol/limits.ts),
and that is not waited for."""


@dataclass(frozen=True, slots=True)
class MediaKey:
    """A base key as its owner gave it to the media worker."""

    member: int
    source: int
    epoch: int
    ratchet: int
    key: bytes

    @property
    def name(self) -> str:
        return f"member {self.member}, source {self.source}, epoch {self.epoch}, step {self.ratchet}"


class Participant:
    """One person on one page."""

    def __init__(self, name: str, page: Page) -> None:
        self.name = name
        self.page = page
        self.member = 0

    @classmethod
    async def arrive(
        cls, browser: Browser, name: str, url: str, size: tuple[int, int] = (1280, 800), script: str = WATCH
    ) -> Participant:
        """Opens the page; `url` says whether it joins by itself."""
        return cls(name, await browser.open(url, script=script, size=size))

    async def joined(self, timeout_s: float = JOIN_S) -> None:
        """Returns when the focus has let them in; BrowserFailed says what the page shows instead."""
        await self.page.wait(
            "window.sotto && ['joined', 'failed', 'broken'].includes(sotto.state().phase)", timeout_s
        )
        self.member = await self.page.wait("sotto.state().phase === 'joined' && sotto.state().member", 0.1)

    async def decrypting_of_others(self, known: Collection[int]) -> int:
        """Sounds and pictures of members other than these that are shown as decrypting."""
        return int(
            await self.page.evaluate(
                f"""sotto.state().tiles.filter(({{ member }}) => !{sorted(known)}.includes(member))
                .flatMap(({{ audio, camera }}) => [audio, camera])
                .filter((one) => one?.verdict === "decrypting").length"""
            )
        )

    async def sees(self, members: Collection[int], timeout_s: float = WAIT_S) -> None:
        """Returns when exactly these others are there, with pictures and sound that their keys open.

        Each of them since it was asked, not all at one moment: on a busy machine there is no verdict between
        two pictures.
        """
        await self.page.evaluate("globalThis.sottoSeen = new Set(), null")
        await self.page.wait(
            f"""(async () => {{
            const tiles = sotto.state().tiles, wanted = {sorted(members)};
            const there = tiles.map(({{ member }}) => member).sort((a, b) => a - b);
            if (JSON.stringify(there) !== JSON.stringify(wanted)) return false;
            const stats = await sotto.stats();
            const row = (name) => stats.receivers.find(({{ receiver }}) => receiver === name) ?? {{}};
            for (const {{ member, audio, camera }} of tiles) {{
                if (audio.verdict === "decrypting" && row(audio.receiver).totalSamplesReceived > 0)
                    sottoSeen.add(`${{member}} heard`);
                if (camera.verdict === "decrypting" && row(camera.receiver).framesDecoded > 0)
                    sottoSeen.add(`${{member}} seen`);
            }}
            return sottoSeen.size === 2 * wanted.length;
        }})()""",
            timeout_s,
        )

    async def focus(self, member: int, height: int = FULL_HEIGHT, timeout_s: float = 10.0) -> float | None:
        """Asks for this member in full; seconds until the picture is, None if not within `timeout_s`."""
        passed = await self.page.evaluate(FOCUS % (member, member, height, round(timeout_s * 1000)))
        return None if passed is None else float(passed) / 1000

    async def ask_for(self, member: int) -> None:
        """Asks for this member in full, waits for nothing."""
        await self.page.evaluate(f"sotto.focus({member})")

    async def unfocus(self) -> None:
        await self.page.evaluate("sotto.focus(null)")

    async def mute(self, kind: str, on: bool = True) -> None:
        """`kind`: "audio" or "video"."""
        await self.page.evaluate(f"sotto.mute({kind!r}, {str(on).lower()})")

    async def state(self) -> dict[str, Any]:
        value: dict[str, Any] = await self.page.evaluate("sotto.state()")
        return value

    async def sample(self) -> dict[str, Any]:
        """State and statistics of one moment, for control.demo.figures."""
        value: dict[str, Any] = await self.page.evaluate(SAMPLE)
        return value

    async def media_keys(self) -> list[MediaKey]:
        """Every base key this person has encrypted with, as `WATCH` saw it."""
        keys = await self.page.evaluate("sottoWatch.keys")
        return [MediaKey(**{**one, "key": base64.b64decode(one["key"])}) for one in keys]

    async def focus_passwords(self) -> list[str]:
        """The focus' ICE passwords for this person: secrets that the server must know."""
        passwords: list[str] = await self.page.evaluate("[...new Set(sottoWatch.passwords)]")
        return passwords
