"""A second connection of the same member, asked for over HTTP (docs/protocol.md section 3.3)."""

import asyncio
import logging
import random
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp

from client.errors import Trouble
from client.http import exchange
from client.joining import Entry
from client.protocol import limits, names
from client.protocol.checked import Malformed, mapping, text
from client.protocol.reading import read_error_untrusted
from client.transport.link import Link
from client.transport.sdp import AnswerUnusable, read_answer_untrusted

log = logging.getLogger(__name__)

# No other attempt can succeed with this token.
_FINAL = frozenset({"resume_unknown", "sdp_unsupported", "sdp_malformed", "message_malformed", "too_large"})


_FAILURES = (Trouble, Malformed, AnswerUnusable)


def waits() -> Iterator[float]:
    """Before each attempt: all clients of a focus come back at once otherwise."""
    yield random.uniform(0, 2)  # noqa: S311 - spreads load, keeps no secret
    yield from (1, 2, 4)
    while True:
        yield 8


async def resume(
    address: str,
    token: str,
    entry: Entry,
    metadata: dict[str, Any],
    new_link: Callable[[], Link],
    wanted: Callable[[], bool],
) -> Link:
    """The second connection, once its data channel is open.

    `wanted`: whether the first one still lasts, or may. Trouble with the focus's code when it refuses for
    good, with "channel_failed" when it is too late.
    """
    for wait in waits():
        await asyncio.sleep(wait)
        if not wanted():
            break
        link = new_link()
        try:
            await _attempt(address, token, entry, metadata, link)
            return link
        except (*_FAILURES, TimeoutError, OSError, aiohttp.ClientError, ValueError) as failed:
            await link.close()
            log.info("resuming failed: %s", failed if isinstance(failed, Trouble) else type(failed).__name__)
            if isinstance(failed, Trouble) and failed.code in _FINAL:
                raise
        except BaseException:
            await link.close()
            raise
    raise Trouble("channel_failed", "No other connection to the server came about.")


async def _attempt(address: str, token: str, entry: Entry, metadata: dict[str, Any], link: Link) -> None:
    offerer = entry.new_offerer(await link.gather())
    body = {"token": token, "offer": {"type": "offer", "sdp": offerer.offer()}, names.METADATA: metadata}
    answer = mapping(await exchange(address, body), "the answer")
    if "error" in answer:
        raise Trouble(*read_error_untrusted(answer["error"]))
    sdp = text(mapping(answer.get("answer"), "answer").get("sdp"), "sdp", limits.MESSAGE_MAX_CHARS)
    agreed = read_answer_untrusted(sdp, offerer.lines)
    entry.offerer = offerer
    await link.connect(agreed)
