"""/metrics on the HTTP port, and who may read it: that port is the page's, and a proxy makes it public."""

import hmac
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

# Any of them says that somebody else asks through the one who is seen.
_FORWARDED: Final = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")
_REFUSED: Final = "Figures are for the operator: docs/configuration.md, [server].metrics.\n"


@dataclass(frozen=True, slots=True)
class Readers:
    """Who may read the figures; the options of [server] of the same names."""

    metrics: str = "local"
    token_file: Path | None = None

    def may_read(self, request: web.Request) -> bool:
        if self.metrics == "open":
            return True
        if self.metrics == "token":
            return self._brings_token(request.headers.get("Authorization", ""))
        return _is_local(request)

    def _brings_token(self, given: str) -> bool:
        try:  # read each time: a renewed token needs no restart
            token = self.token_file.read_text().strip() if self.token_file is not None else ""
        except OSError:
            return False
        return bool(token) and hmac.compare_digest(
            given.encode(errors="surrogateescape"), f"Bearer {token}".encode()
        )


def add_figures(app: web.Application, registry: CollectorRegistry, readers: Readers) -> None:
    async def metrics(request: web.Request) -> web.Response:
        if not readers.may_read(request):
            raise web.HTTPForbidden(text=_REFUSED)
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        body: bytes = encode(registry)
        return web.Response(body=body, headers={"Content-Type": content_type, "Cache-Control": "no-store"})

    app.router.add_get("/metrics", metrics)


def _is_local(request: web.Request) -> bool:
    """From this machine, and not by a proxy on it: one either says so or passes the public name on."""
    if any(name in request.headers for name in _FORWARDED) or request.transport is None:
        return False
    named = request.host
    host = named.partition("]")[0][1:] if named.startswith("[") else named.partition(":")[0]
    peer, own = request.transport.get_extra_info("peername"), request.transport.get_extra_info("sockname")
    try:
        by_number = host == "localhost" or ipaddress.ip_address(host) is not None
        near = ipaddress.ip_address(peer[0])
        return by_number and (near.is_loopback or near == ipaddress.ip_address(own[0]))
    except (ValueError, TypeError, IndexError):
        return False
