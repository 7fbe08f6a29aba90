"""Tells in the log when conferences can be joined, and when and why they cannot."""

import asyncio
import logging
from collections.abc import Callable

log = logging.getLogger(__name__)
LOOK_S = 0.5
"""Between two looks. Longer: who waits for the line waits longer. Shorter: nobody reads so fast."""


async def tell(not_ready: Callable[[], str | None], where: str) -> None:
    """Until cancelled. `where`: what an operator looks for first, said with "ready"."""
    was: str | None = None
    ready = False
    while True:
        reason = not_ready()
        if reason is None and not ready:
            log.info("ready: %s", where)
        elif reason is not None and reason != was and ready:
            log.warning("not ready: %s", reason)
        ready, was = reason is None, reason
        await asyncio.sleep(LOOK_S)
