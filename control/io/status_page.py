"""The status page on the HTTP port: what `sotto status` shows, drawn in a browser.

Whoever opens it brings a token: a proxy on the same machine makes every visitor look like one on
loopback. The token
lies in the run folder, where the server's own user reads it: `sotto status --page` prints the whole address.
"""

import hmac
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from aiohttp import web

PAGE: Final = Path(__file__).with_name("status_page.html")
COOKIE: Final = "sotto_status"
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class StatusPage:
    """Its routes. `overview()` as in control.overview."""

    def __init__(self, run_dir: Path, overview: Callable[[], dict[str, Any]]) -> None:
        """OSError where the token cannot be kept."""
        self._overview = overview
        self._token = _kept_token(token_file(run_dir))

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/status", self._page)
        app.router.add_get("/status.json", self._figures)

    async def _page(self, request: web.Request) -> web.Response:
        given = request.query.get("token")
        if given is not None:
            if not self._is_token(given):
                raise web.HTTPForbidden(text=_REFUSED)
            # Out of the address bar, where it would be seen and kept.
            found = web.HTTPFound("/status", headers={"Cache-Control": "no-store"})
            found.set_cookie(COOKIE, given, httponly=True, samesite="Strict", path="/status")
            found.set_cookie(COOKIE, given, httponly=True, samesite="Strict", path="/")
            raise found
        self._check(request)
        return web.Response(
            body=PAGE.read_bytes(), headers=_HEADERS | {"Content-Type": "text/html; charset=utf-8"}
        )

    async def _figures(self, request: web.Request) -> web.Response:
        self._check(request)
        return web.Response(
            text=json.dumps(self._overview()),
            content_type="application/json",
            headers={"Cache-Control": "no-store"},
        )

    def _check(self, request: web.Request) -> None:
        if not self._is_token(request.cookies.get(COOKIE, "")):
            raise web.HTTPForbidden(text=_REFUSED)

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token.encode())


_REFUSED: Final = (
    "The status page is for the operator: `sotto status --page` on the server prints its address.\n"
)


def token_file(run_dir: Path) -> Path:
    return run_dir / "status.token"


def _kept_token(path: Path) -> str:
    """The one of the process before, so that an open page goes on; else a new one."""
    try:
        kept = path.read_text().strip()
    except FileNotFoundError:
        kept = ""
    if len(kept) >= 32:
        return kept
    token = secrets.token_urlsafe(32)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(token)
    return token
