"""What people do at a page besides clicking, and a look at it that needs no eyes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from control.demo.browsers import Page

AXE = Path(__file__).parents[2] / "web/node_modules/axe-core/axe.min.js"


async def press(page: Page, key: str) -> None:
    event = f"new KeyboardEvent('keydown', {{ key: {key!r}, bubbles: true }})"
    await page.evaluate(f"document.activeElement.dispatchEvent({event})")


@asynccontextmanager
async def watched(page: Page, expression: str) -> AsyncIterator[None]:
    """Returns when it has been true: what is shown for a few seconds is looked for from before it comes."""
    looking = asyncio.create_task(page.wait(expression))
    # The driver reads in order: by now it has been asked for both.
    await page.evaluate("0")
    try:
        yield
        await looking
    finally:
        looking.cancel()


async def hide(page: Page, *, hidden: bool) -> None:
    """As if another tab were in front."""
    value = json.dumps(hidden)
    await page.evaluate(
        f"Object.defineProperty(document, 'hidden', {{ value: {value}, configurable: true }}),"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )


async def violations(page: Page) -> list[str]:
    """Rules of WCAG 2 A and AA and good practice that the page breaks, with where."""
    if not await page.evaluate("Boolean(window.axe)"):
        await page.evaluate(AXE.read_text() + "\n;0")
    # What is about to appear has colours of its own, which are nobody's to read.
    await page.wait(
        """document.getAnimations().every(({ effect, playState }) =>
            playState !== "running" || effect.getComputedTiming().iterations === Infinity)"""
    )
    found = await page.evaluate(
        """axe.run({ exclude: ["video"] }, { resultTypes: ["violations"] }).then(({ violations }) =>
            violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120))}`))"""
    )
    return list(found)
