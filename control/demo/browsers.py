"""Real browsers for the check and for tests: headless, with fake cameras and microphones.

    with Browsers() as browsers:
        chromium = await browsers.launch()
        page = await chromium.open("http://127.0.0.1:8450/?demo=alice&join")
        await page.wait("sotto.state().phase === 'joined'")

One Node process (browsers.mjs) drives all of them. Whatever was started ends with the `with`, profile folders
too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Literal, Self

ROOT = Path(__file__).resolve().parents[2]
NODE = ROOT / "tools" / "node" / "node"
DRIVER = Path(__file__).with_name("browsers.mjs")

WAIT_S = 120.0
"""For something to become true in a page: what takes a second or two where the machine has time. Lower fails
on a loaded machine (20 s were seen, 60 and more with forty processes that want to run); higher delays bad
news."""
STOP_S = 30.0
CONSOLE_LINES = 40
"""Last lines a page wrote on its console, kept for the text of a failure."""


class BrowserFailed(Exception):
    """The browser or the page could not do it, or what was waited for did not come."""


class Browsers:
    """The driver. `spawn` starts it: in a network namespace, whatever starts processes there.

    Its futures are of no event loop: pages may be used from any, one after the other or at once.
    """

    def __init__(self, spawn: Callable[..., subprocess.Popen[str]] = subprocess.Popen) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="sotto-browsers-"))
        self._consoles: dict[int, deque[str]] = {}
        self._waiting: dict[int, Future[Any]] = {}
        self._last = 0
        self._lock = threading.Lock()
        self._process = spawn(
            ["env", f"TMPDIR={self._folder}", f"HOME={self._folder}", str(NODE), str(DRIVER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name="browsers", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Of the driver; every browser is a descendant of it."""
        return self._process.pid

    async def launch(
        self, kind: Literal["chromium", "firefox"] = "chromium", *, fps: int = 30, args: tuple[str, ...] = ()
    ) -> Browser:
        """`fps`: of the fake camera. `args`: more for Chromium's command line."""
        value = await self.request("launch", kind=kind, fps=fps, args=list(args))
        return Browser(self, value["browser"], value["pid"])

    async def fetch(self, url: str) -> tuple[int, str]:
        """Status and text of a page, asked for from where the browsers are."""
        value = await self.request("fetch", url=url)
        return value["status"], value["text"]

    async def request(self, op: str, **arguments: Any) -> Any:
        """One operation of browsers.mjs; raises BrowserFailed."""
        future: Future[Any] = Future()
        with self._lock:
            self._last += 1
            number = self._last
            self._waiting[number] = future
            line = json.dumps({"id": number, "op": op, **arguments})
            assert self._process.stdin is not None
            try:
                self._process.stdin.write(line + "\n")
                self._process.stdin.flush()
            except (OSError, ValueError):
                self._waiting.pop(number, None)
                raise BrowserFailed("the browsers' driver has ended") from None
        return await asyncio.wrap_future(future)

    def console(self, page: int) -> list[str]:
        return list(self._consoles.get(page, ()))

    def close(self) -> None:
        if self._process.poll() is None:
            assert self._process.stdin is not None
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._reader.join(STOP_S)
        assert self._process.stdout is not None
        self._process.stdout.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            if "event" in message:
                lines = self._consoles.setdefault(message["page"], deque(maxlen=CONSOLE_LINES))
                lines.append(message["text"])
                continue
            future = self._waiting.pop(message["id"], None)
            if future is None or future.cancelled():
                continue
            if "error" in message:
                future.set_exception(BrowserFailed(message["error"]))
            else:
                future.set_result(message["value"])
        for future in list(self._waiting.values()):
            if not future.done():
                future.set_exception(BrowserFailed("the browsers' driver has ended"))


class Browser:
    """One browser process with its children."""

    def __init__(self, browsers: Browsers, number: int, pid: int) -> None:
        self.pid = pid
        self._browsers = browsers
        self._number = number

    async def open(self, url: str, *, script: str = "", size: tuple[int, int] = (1280, 800)) -> Page:
        """A page in a context of its own: no cookies, storage or cache in common with another.

        `script` runs in it before its own scripts do.
        """
        value = await self._browsers.request(
            "open", browser=self._number, url=url, script=script, width=size[0], height=size[1]
        )
        return Page(self._browsers, value["page"])

    async def close(self) -> None:
        await self._browsers.request("shut", browser=self._number)

    async def kill(self) -> None:
        """With no time to say goodbye to anybody."""
        await self._browsers.request("kill", browser=self._number)


class Page:
    """One page, that is one person."""

    def __init__(self, browsers: Browsers, number: int, frame: str = "") -> None:
        self._browsers = browsers
        self._number = number
        self._frame = frame

    def frame(self, address: str) -> Page:
        """The frame in it whose address begins like this; it need not be there yet."""
        return Page(self._browsers, self._number, address)

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited if it is a promise."""
        return await self._browsers.request(
            "evaluate", page=self._number, frame=self._frame, expression=expression
        )

    async def wait(self, expression: str, timeout_s: float = WAIT_S) -> Any:
        """Until the expression is true; its value. What throws is not true yet.

        What the page knew and wrote is in the error's text.
        """
        try:
            return await self._browsers.request(
                "wait",
                page=self._number,
                frame=self._frame,
                expression=expression,
                timeout_ms=round(timeout_s * 1000),
            )
        except BrowserFailed as failed:
            raise BrowserFailed(f"{failed}\nwaited for: {expression}\n{await self._describe()}") from None

    async def click(self, selector: str, label: str = "") -> None:
        """Once it is drawn and can be pressed; of several, the first whose name or text is `label`."""
        found = f"[...document.querySelectorAll({json.dumps(selector)})]"
        named = f"!{json.dumps(label)} || (one.ariaLabel ?? one.innerText) === {json.dumps(label)}"
        await self.wait(
            f"""(() => {{
            const one = {found}.find((one) => {named});
            if (!one || one.disabled) return false;
            one.click();
            return true;
        }})()"""
        )

    async def key(self, name: str) -> None:
        """A key as a person presses it, on what has the focus."""
        await self._browsers.request("key", page=self._number, key=name)

    async def screenshot(self, path: Path, size: tuple[int, int] | None = None) -> None:
        """A PNG of the page; `size` is the window's from then on."""
        if size is not None:
            await self._browsers.request("size", page=self._number, width=size[0], height=size[1])
        await self._browsers.request("screenshot", page=self._number, path=str(path))

    async def close(self) -> None:
        """As a person closes a tab: the page may still say goodbye."""
        await self._browsers.request("close", page=self._number)

    async def _describe(self) -> str:
        try:
            state = json.dumps(await self.evaluate("window.sotto ? window.sotto.state() : document.title"))
        except BrowserFailed as failed:
            state = f"(no state: {failed})"
        return "\n".join([f"state: {state}", "console:", *self._browsers.console(self._number)])
