"""What a conference server says about itself over HTTP (docs/protocol.md section 6)."""

from dataclasses import dataclass
from urllib.parse import urljoin

import aiohttp

from client.errors import Trouble
from client.http import exchange
from client.protocol import limits
from client.protocol.checked import Malformed, mapping, text, user_id

CONFIG = "config.json"


@dataclass(frozen=True, slots=True)
class Service:
    """`focus` is its Matrix id; `to_device`: how it wants members to give each other their keys. `url`: the
    address that others find it at, as its operator says."""

    focus: str
    to_device: bool
    url: str | None = None


async def ask(address: str) -> Service:
    """Trouble "service_unreachable" when nothing of the kind answers there."""
    try:
        config = mapping(await exchange(urljoin(address, CONFIG)), "the configuration")
        url = config.get("url")
        return Service(
            user_id(config.get("focus"), "focus"),
            config.get("key_transport") == "to-device",
            None if url is None else text(url, "url", limits.ADDRESS_MAX),
        )
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, Malformed) as error:
        raise Trouble(
            "service_unreachable", f"There is no conference server at {address}: {type(error).__name__}."
        ) from None
