"""The HTTP port: browser client, its configuration, metrics and health."""

import gzip
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client import CollectorRegistry

from control.io.figures_page import Readers, add_figures
from control.io.status_page import StatusPage
from control.protocol.limits import RESUME_MAX_BYTES
from control.protocol.names import RESUME_PATH

log = logging.getLogger(__name__)

# Files with a hash in their name never change; the page itself is asked for anew each time.
IMMUTABLE = "public, max-age=31536000, immutable"
# Below this, compressing costs more than the bytes saved.
COMPRESS_MIN_BYTES = 1024
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".map": "application/json",
    ".txt": "text/plain; charset=utf-8",
}


class HttpServer:
    """Serves until `stop`. `ready()` says why the server is not ready, or None when it is."""

    def __init__(
        self,
        registry: CollectorRegistry,
        ready: Callable[[], str | None],
        client_config: Mapping[str, Any],
        web_dir: Path | None,
        count: Callable[[str], None] = lambda name: None,
        resume: Callable[[str], tuple[int, dict[str, Any]]] | None = None,
        status: StatusPage | None = None,
        readers: Readers = Readers(),  # noqa: B008 - a value
        embed_in: Sequence[str] = (),
    ) -> None:
        self._ready = ready
        self._config = dict(client_config)
        self._resume = resume
        self._web_dir = web_dir.resolve() if web_dir is not None else None
        self._compressed: dict[Path, tuple[float, bytes]] = {}
        self._headers = _security_headers(str(client_config["homeserver"]), embed_in)
        app = web.Application(client_max_size=RESUME_MAX_BYTES)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        add_figures(app, registry, readers)
        app.router.add_get("/config.json", self._client_config)
        app.router.add_post(f"/{RESUME_PATH}", self._resume_untrusted)
        if status is not None:
            status.add_to(app)
        app.router.add_get("/{path:.*}", self._file)
        self._runner = web.AppRunner(app, access_log=None, logger=_discreet(count))

    async def start(self, host: str, port: int) -> int:
        """Listens; returns the port in use. OSError when it is taken."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        listening: int = self._runner.addresses[0][1]
        return listening

    async def stop(self) -> None:
        """Ends open requests and closes the port."""
        await self._runner.cleanup()

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        reason = self._ready()
        return (
            web.Response(text="ready\n") if reason is None else web.Response(status=503, text=reason + "\n")
        )

    async def _client_config(self, request: web.Request) -> web.Response:
        return web.Response(
            text=json.dumps(self._config),
            content_type="application/json",
            headers={"Cache-Control": "no-store", **self._headers},
        )

    async def _resume_untrusted(self, request: web.Request) -> web.Response:
        """A member's second connection; `resume(body)` gives status and answer."""
        if self._resume is None:
            raise web.HTTPNotFound
        try:
            body = await request.text()
        except UnicodeDecodeError:
            raise web.HTTPBadRequest from None
        status, said = self._resume(body)
        return web.Response(
            status=status,
            text=json.dumps(said),
            content_type="application/json",
            headers={"Cache-Control": "no-store", **self._headers},
        )

    async def _file(self, request: web.Request) -> web.StreamResponse:
        if self._web_dir is None:
            raise web.HTTPNotFound(text="This server has no browser client: set client.web_dir.\n")
        path = _file_of_untrusted(self._web_dir, request.match_info["path"] or "index.html")
        if path is None:
            raise web.HTTPNotFound(text="There is no such page.\n")
        headers = {
            "Content-Type": _TYPES.get(path.suffix, "application/octet-stream"),
            "Cache-Control": IMMUTABLE if path.parent.name == "assets" else "no-cache",
            "Vary": "Accept-Encoding",
            **self._headers,
        }
        if "gzip" in request.headers.get("Accept-Encoding", "") and path.stat().st_size >= COMPRESS_MIN_BYTES:
            return web.Response(body=self._gzip(path), headers={**headers, "Content-Encoding": "gzip"})
        return web.Response(body=path.read_bytes(), headers=headers)

    def _gzip(self, path: Path) -> bytes:
        """The compressed file; made once, because the crypto module of the client is megabytes."""
        changed = path.stat().st_mtime
        kept = self._compressed.get(path)
        if kept is None or kept[0] != changed:
            kept = (changed, gzip.compress(path.read_bytes(), compresslevel=6))
            self._compressed[path] = kept
        return kept[1]


def _file_of_untrusted(folder: Path, name: str) -> Path | None:
    """The file of this name in `folder`, or None."""
    try:
        path = (folder / name).resolve()
        return path if path.is_relative_to(folder) and path.is_file() else None
    except (OSError, ValueError):  # no file can have such a name: too long, or with a zero in it
        return None


def _discreet(count: Callable[[str], None]) -> logging.Logger:
    """What aiohttp logs, without who asked and for what; requests that are none are counted instead."""

    def without_private_matters(record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], HttpProcessingError):
            count("http_malformed")
            return False
        record.msg, record.args = "a request failed", ()
        return True

    logger = logging.Logger("sotto.control.http")
    logger.parent = logging.getLogger()
    logger.addFilter(without_private_matters)
    return logger


def _security_headers(homeserver: str, embed_in: Sequence[str] = ()) -> dict[str, str]:
    """The page may load nothing but its own files and talk to nobody but the homeserver and us.

    `embed_in`: origins whose pages may show it in a frame.
    """
    ancestors = " ".join(embed_in) or "'none'"
    policy = (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; "
        "style-src 'self' 'unsafe-inline'; "
        f"img-src 'self' data: blob:; media-src 'self' blob: mediastream:; connect-src 'self' {homeserver}; "
        "font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
        f"frame-ancestors {ancestors}"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self)",
    }
