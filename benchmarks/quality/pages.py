"""Members in real Chromium: pages of client.js, and what they saw."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

from benchmarks.quality.server import Server
from control.demo.browsers import Browser, Page

PAGE = Path(__file__).with_name("page.html")
FULL, MIDDLE, THUMBNAIL = 720, 360, 180
FLAGS = (
    "--allow-file-access-from-files",
    # Pages nobody looks at would have their timers slowed down.
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
)


def flags(video: Path | None) -> tuple[str, ...]:
    """`video`: what cameras show, None for the browser's own picture, which costs less to encode."""
    return (*FLAGS, f"--use-file-for-fake-video-capture={video}") if video else FLAGS


class Viewer:
    """One member. Times are seconds of CLOCK_MONOTONIC, as the bridge's are."""

    def __init__(self, name: str, page: Page, server: Server) -> None:
        self.name = name
        self.page = page
        self.server = server
        self.number = 0

    @classmethod
    async def join(
        cls, browser: Browser, server: Server, name: str, *, sends: bool, pairs: int = 4, width: int = 1280
    ) -> Viewer:
        """Returns when the data channel has been opened and the slots are known."""
        page = await browser.open(PAGE.as_uri(), size=(400, 300))
        viewer = cls(name, page, server)
        options = {"sends": sends, "pairs": pairs, "width": width, "height": width * 9 // 16, "rate": 30}
        made = await page.evaluate(f"quality.offer({_js(options)})")
        metadata = {made["stream"]: {"purpose": "m.usermedia", "audio_muted": False, "video_muted": False}}
        answer = server.call(name, made["sdp"], metadata)
        await page.evaluate(f"quality.answer({_js(answer)})")
        await page.wait("quality.channel.readyState === 'open' && quality.slots !== undefined", 20)
        viewer.number = server.number(name)
        return viewer

    async def subscribe(self, member: int, height: int) -> float:
        """Asks for a size; when."""
        at = await self.page.evaluate(f"quality.subscribe({member}, {height * 16 // 9}, {height})")
        return _monotonic(at)

    async def unsubscribe(self, member: int) -> float:
        return _monotonic(await self.page.evaluate(f"quality.unsubscribe({member})"))

    async def mid(self, member: int) -> str:
        """The slot that carries a member's camera, when there is one."""
        mid: str = await self.page.wait(f"quality.mid({member})", 10)
        return mid

    async def pictures(self, mid: str) -> list[tuple[float, int]]:
        """(time, height) of every picture decoded on a slot."""
        frames = await self.page.evaluate(f"quality.frames[{_js(mid)}] ?? []")
        return [(_monotonic(at), height) for at, height in frames]

    async def sees(self, member: int, height: int, timeout_s: float = 20.0) -> str:
        """Returns when the newest picture of a member has at least this height; the slot."""
        mid = await self.mid(member)
        await self.page.wait(f"(quality.frames[{_js(mid)}] ?? []).at(-1)?.[1] >= {height}", timeout_s)
        return mid

    async def heard(self, message_type: str) -> list[tuple[float, dict[str, Any]]]:
        """Messages of a type with their times."""
        every = await self.page.evaluate(
            f"quality.messages.filter(([, type]) => type === {_js(message_type)})"
        )
        return [(_monotonic(at), content) for at, _type, content in every]

    async def stats(self) -> dict[str, Any]:
        found: dict[str, Any] = await self.page.evaluate("quality.stats()")
        found["at"] = _monotonic(found["at"])
        return found

    async def problems(self) -> list[str]:
        found: list[str] = await self.page.evaluate("quality.problems")
        return found

    async def close(self) -> None:
        await self.page.evaluate("(quality.say('m.call.hangup', { reason: 'user_hangup' }), 0)")
        await asyncio.sleep(0.1)
        await self.page.close()


def inbound(stats: dict[str, Any], kind: str, mid: str | None = None) -> dict[str, float]:
    """Numbers of the inbound RTP streams of a kind, added up over slots unless one is named."""
    found: dict[str, float] = {}
    for row in stats["rows"]:
        if row["type"] == "inbound-rtp" and row["kind"] == kind and mid in (None, row["mid"]):
            for name, value in row.items():
                if isinstance(value, (int, float)) and not isinstance(value, bool):
                    found[name] = found.get(name, 0) + value
    return found


def grown(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {name: value - before.get(name, 0) for name, value in after.items()}


def _monotonic(wall_ms: float) -> float:
    return float(wall_ms) / 1000 - (time.time() - time.monotonic())


def _js(value: Any) -> str:
    return json.dumps(value)
