"""JSON to and from the conference server's web address."""

import json
from typing import Any

import aiohttp

from client.protocol import limits


async def exchange(address: str, body: dict[str, Any] | None = None) -> Any:
    """GET, or POST of a body; the JSON that is answered, whatever the status.

    aiohttp.ClientError, TimeoutError or OSError without an answer, ValueError when it is no JSON.
    """
    timeout = aiohttp.ClientTimeout(total=limits.CONNECT_S)
    async with (
        aiohttp.ClientSession(timeout=timeout) as http,
        http.request("GET" if body is None else "POST", address, json=body) as response,
    ):
        data = bytearray()
        async for piece in response.content.iter_any():
            data += piece
            if len(data) > limits.ANSWER_MAX_BYTES:
                raise ValueError("the answer is too long")
    return json.loads(data)
