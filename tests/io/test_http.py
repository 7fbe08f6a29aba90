"""The HTTP port: what it gives, and what it does not."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from yarl import URL

from control.io.figures_page import Readers
from control.io.http import HttpServer
from control.protocol.limits import RESUME_MAX_BYTES

PAGE = "<html>" + "x" * 2000
CONFIG = {"homeserver": "https://matrix.example.org", "focus": "@sotto:example.org"}


@pytest.fixture
async def base(tmp_path: Path) -> AsyncIterator[str]:
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text(PAGE)
    (folder / "assets" / "a.js").write_text("1")
    (tmp_path / "secret").write_text("secret")
    (folder / "link").symlink_to(tmp_path / "secret")
    problems: list[str | None] = ["starting", None]
    server = HttpServer(CollectorRegistry(), lambda: problems.pop(0), CONFIG, folder, Counter().update)
    yield f"http://127.0.0.1:{await server.start('127.0.0.1', 0)}"
    await server.stop()


async def test_the_page_its_configuration_and_readiness(base: str) -> None:
    async with aiohttp.ClientSession(base) as client:
        async with client.get("/") as answer:
            assert await answer.text() == PAGE
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["Cache-Control"] == "no-cache"
        async with client.get("/assets/a.js") as answer:
            assert answer.headers["Cache-Control"].endswith("immutable")
        async with client.get("/config.json") as answer:
            assert await answer.json() == CONFIG
        assert [(await client.get("/readyz")).status for _ in range(2)] == [503, 200]
        assert (await client.get("/healthz")).status == 200
        assert (await client.get("/metrics")).status == 200


async def test_the_page_is_embedded_where_the_operator_says(base: str, tmp_path: Path) -> None:
    server = HttpServer(
        CollectorRegistry(), lambda: None, CONFIG, tmp_path / "dist", embed_in=("https://app.example.org",)
    )
    port = await server.start("127.0.0.1", 0)
    try:
        for address, allowed in ((base, "'none'"), (f"http://127.0.0.1:{port}", "https://app.example.org")):
            async with aiohttp.ClientSession(address) as client, client.get("/") as answer:
                policy = answer.headers["Content-Security-Policy"]
                assert policy.endswith(f"frame-ancestors {allowed}")
                assert "X-Frame-Options" not in answer.headers
                # Of its own origin: whoever embeds it says allow="camera; microphone; display-capture".
                assert "camera=(self)" in answer.headers["Permissions-Policy"]
    finally:
        await server.stop()


async def test_a_member_may_ask_for_a_second_connection(tmp_path: Path) -> None:
    asked: list[str] = []

    def resume(body: str) -> tuple[int, dict[str, Any]]:
        asked.append(body)
        return (200, {"member": 3}) if body == "right" else (404, {"error": {"code": "resume_unknown"}})

    server = HttpServer(CollectorRegistry(), lambda: None, CONFIG, None, Counter().update, resume)
    address = f"http://127.0.0.1:{await server.start('127.0.0.1', 0)}"
    async with aiohttp.ClientSession(address) as client:
        async with client.post("/resume", data="right") as answer:
            assert (answer.status, await answer.json()) == (200, {"member": 3})
            assert answer.headers["Cache-Control"] == "no-store"
        async with client.post("/resume", data="wrong") as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (404, "resume_unknown")
        for body, status in ((b"\xff\xfe", 400), (b"x" * (RESUME_MAX_BYTES + 1), 413)):
            async with client.post("/resume", data=body) as answer:
                assert answer.status == status
        assert (await client.get("/resume")).status == 404
    assert asked == ["right", "wrong"]
    await server.stop()


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/assets",
        "/%00",
        "/" + "x" * 5000,
        "/..%2fsecret",
        "/%2e%2e/secret",
        "//etc/passwd",
        "/link",
    ],
)
async def test_other_paths_are_not_found_and_not_logged(
    base: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        async with aiohttp.ClientSession() as client, client.get(URL(base + path, encoded=True)) as answer:
            assert answer.status == 404
    assert caplog.records == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:8448"}, 200),
        ({"Host": "[::1]:8448"}, 200),
        ({"Host": "meet.example.org"}, 403),  # a proxy that passes the name on
        ({"X-Forwarded-For": "192.0.2.1"}, 403),  # or says for whom it asks
        ({"Forwarded": "for=192.0.2.1"}, 403),
        ({"Authorization": "Bearer secret", "Host": "meet.example.org"}, 403),
    ],
)
async def test_figures_are_for_this_machine(base: str, headers: dict[str, str], status: int) -> None:
    async with aiohttp.ClientSession(base) as client, client.get("/metrics", headers=headers) as answer:
        assert answer.status == status


@pytest.mark.parametrize(
    ("given", "status"), [("Bearer secret", 200), ("Bearer other", 403), ("secret", 403), ("", 403)]
)
async def test_figures_for_whoever_brings_the_token(tmp_path: Path, given: str, status: int) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    server = HttpServer(
        CollectorRegistry(), lambda: None, CONFIG, None, Counter().update, readers=Readers("token", token)
    )
    address = f"http://127.0.0.1:{await server.start('127.0.0.1', 0)}"
    async with aiohttp.ClientSession(address) as client:
        headers = {"Authorization": given, "Host": "meet.example.org"}
        assert (await client.get("/metrics", headers=headers)).status == status
        token.write_text("\n")  # emptied: nobody may, not even without one
        assert (await client.get("/metrics", headers={"Authorization": "Bearer "})).status == 403
    await server.stop()


async def test_a_token_of_any_bytes_is_refused_and_nothing_fails(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    readers = Readers("token", tmp_path / "token")
    server = HttpServer(CollectorRegistry(), lambda: None, CONFIG, None, Counter().update, readers=readers)
    reader, writer = await asyncio.open_connection("127.0.0.1", await server.start("127.0.0.1", 0))
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\n\r\n")
    assert (await reader.readline()).split()[1] == b"403"
    writer.close()
    await server.stop()
