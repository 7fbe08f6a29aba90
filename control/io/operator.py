"""The operator's door: a Unix socket that only the server's own user can open, speaking HTTP and JSON."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from control import logs, run_dir

log = logging.getLogger(__name__)


class OperatorSocket:
    """Answers until `stop`."""

    def __init__(
        self,
        folder: Path,
        overview: Callable[[], dict[str, Any]],
        explain: Callable[[str], list[dict[str, Any]]],
        drain: Callable[[bool], None],
    ) -> None:
        self._path = run_dir.operator_socket(folder)
        self._overview = overview
        self._explain = explain
        self._drain = drain
        app = web.Application(client_max_size=16 * 1024)
        app.router.add_get("/status", self._status)
        app.router.add_get("/explain", self._explanations)
        app.router.add_post("/drain", self._draining)
        app.router.add_post("/log-level", self._log_level)
        self._runner = web.AppRunner(app, access_log=None)

    async def start(self) -> None:
        """OSError when the socket cannot be made."""
        import socket

        await self._runner.setup()
        listening = run_dir.listen(self._path, socket.SOCK_STREAM)
        listening.setblocking(False)
        await web.SockSite(self._runner, listening).start()

    async def stop(self) -> None:
        await self._runner.cleanup()
        self._path.unlink(missing_ok=True)

    async def _status(self, _request: web.Request) -> web.Response:
        return web.json_response(self._overview())

    async def _explanations(self, request: web.Request) -> web.Response:
        return web.json_response(self._explain(request.query.get("user", "")))

    async def _draining(self, request: web.Request) -> web.Response:
        wanted = request.query.get("off") is None
        self._drain(wanted)
        log.info("draining: no new conferences" if wanted else "new conferences are taken again")
        return web.json_response(self._overview())

    async def _log_level(self, request: web.Request) -> web.Response:
        try:
            logs.set_level(request.query.get("level", ""), request.query.get("module", ""))
        except ValueError:
            known = "debug, info, warning or error, for a part of it nio=warning"
            return web.json_response({"error": f"there is no such log level: {known}"}, status=400)
        return web.json_response({})
