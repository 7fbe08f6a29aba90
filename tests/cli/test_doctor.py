"""`sotto doctor` meets planted faults, one at a time, and names each with its fix."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from control.cli import checks
from control.cli.checks import CHECKS, Case, Result
from control.config import ClientConfig, Config, HomeserverConfig, MediaConfig, ServerConfig
from control.io.operator import OperatorSocket
from control.layout import layout
from control.run_dir import prepare
from tests.cli.operator import sotto
from tests.conftest import Synapse


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "password").write_text("wrong\n")
    (tmp_path / "password").chmod(0o600)
    return Config(
        homeserver=HomeserverConfig("http://127.0.0.1:1", "@sotto:localhost", tmp_path / "password"),
        server=ServerConfig(data_dir=tmp_path / "data"),
        media=MediaConfig(listen=("127.0.0.1",), port=0),
        client=ClientConfig(homeserver_url="https://matrix.example.org"),
    )


def found(name: str, config: Config, level: str) -> Result:
    """The one finding of this level."""
    return only(list(CHECKS[name](Case(config))), level)


def only(results: list[Result], level: str) -> Result:
    (result,) = [each for each in results if each.level == level]
    assert result.fix
    return result


def at(config: Config, synapse: Synapse, **changes: Any) -> Config:
    return replace(config, homeserver=replace(config.homeserver, url=synapse.url, **changes))


def test_no_homeserver(config: Config):
    result = found("homeserver", config, "error")
    assert "Connection refused" in result.text
    assert "[homeserver].url" in result.fix


def test_wrong_password(config: Config, synapse: Synapse):
    result = found("bot", at(config, synapse), "error")
    assert result.text == "the homeserver refuses the bot's password"
    assert "password_file" in result.fix


async def test_expired_token(config: Config, synapse: Synapse, tmp_path: Path):
    account = await synapse.account("expired")
    token = tmp_path / "token"
    token.write_text(account.access_token)
    named = at(config, synapse, user_id=account.user_id, password_file=None, access_token_file=token)
    assert list(CHECKS["bot"](Case(named)))[0].level == "ok"
    await synapse.client.request("POST", "/_matrix/client/v3/logout", account, {})
    result = found("bot", named, "error")
    assert "has expired or was withdrawn" in result.text
    assert str(token) in result.fix


async def test_a_token_of_somebody_else(config: Config, synapse: Synapse, tmp_path: Path):
    account = await synapse.account("somebody")
    token = tmp_path / "token"
    token.write_text(account.access_token)
    result = found("bot", at(config, synapse, password_file=None, access_token_file=token), "error")
    assert "another account" in result.text


class _AnHourAhead(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response_only(200)
        self.send_header("Date", "Mon, 01 Jan 2024 00:00:00 GMT")
        self.end_headers()
        self.wfile.write(b'{"versions": ["v1.1"]}')

    def log_message(self, *_: object) -> None:
        return


def test_clock_off(config: Config):
    server = HTTPServer(("127.0.0.1", 0), _AnHourAhead)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        named = replace(config, homeserver=replace(config.homeserver, url=url))
        result = found("homeserver", named, "error")
    finally:
        server.shutdown()
        server.server_close()
    assert "clock is" in result.text
    assert "ahead of the homeserver's" in result.text
    assert "timesyncd" in result.fix


def test_port_taken(config: Config):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        result = found("ports", replace(config, media=replace(config.media, port=port)), "error")
    assert f"127.0.0.1 port {port}: Address already in use" in result.text
    assert "ss -ulpn" in result.fix


CLOSED = """
import json, sys
from pathlib import Path
from control.cli.checks import CHECKS, Case
from control.config import Config, HomeserverConfig, MediaConfig, ServerConfig
folder = Path(sys.argv[1])
config = Config(
    homeserver=HomeserverConfig("http://127.0.0.1:1", "@sotto:localhost", folder / "password"),
    server=ServerConfig(data_dir=folder / "data", workers=4),
    media=MediaConfig(listen=("0.0.0.0",), port=40000, advertise=("192.0.2.7",)),
)
print(json.dumps([(each.level, each.text, each.fix) for each in CHECKS["ports"](Case(config))]))
"""


@pytest.mark.netns
def test_port_closed_by_a_firewall(namespace: str, tmp_path: Path, root: Path):
    """A rule of the kernel's own packet filter, in a network of the test's own."""
    inside = ["ip", "netns", "exec", namespace]

    def looked_at() -> list[tuple[str, str, str]]:
        command = [*inside, sys.executable, "-c", CLOSED, tmp_path]
        return [tuple(each) for each in json.loads(subprocess.check_output(command, cwd=root))]

    assert [level for level, _text, _fix in looked_at()] == ["ok", "warning"], "192.0.2.0/24 is not public"
    rule = ["INPUT", "-p", "udp", "--dport", "40001:40065", "-j", "DROP"]
    subprocess.run([*inside, "iptables", "-w", "-I", *rule], check=True)
    (_ok, (level, text, fix)) = looked_at()
    assert level == "error"
    assert text == "what is sent to 192.0.2.7 UDP ports 40001 to 40003 does not arrive here"
    assert "ufw allow 40001:40003/udp" in fix
    assert "nc -u 192.0.2.7 40001" in fix


def test_wrong_advertised_address(config: Config):
    result = found("ports", replace(config, media=replace(config.media, advertise=("203.0.113.5",))), "error")
    assert "203.0.113.5" in result.text
    assert "does not arrive here" in result.text
    assert "NAT" in result.fix


def test_tiny_socket_buffers(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    core = tmp_path / "sys/net/core"
    core.mkdir(parents=True)
    (core / "rmem_max").write_text("212992\n")
    (core / "wmem_max").write_text("4194304\n")
    monkeypatch.setattr(checks, "_may_exceed", lambda: False)  # root may; the server's user may not
    result = only(list(CHECKS["kernel"](Case(config, tmp_path / "sys"))), "warning")
    assert "net.core.rmem_max is 212992" in result.text
    assert "sysctl -w net.core.rmem_max=4194304" in result.fix


def test_no_udp_segment(config: Config, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checks, "UDP_SEGMENT", 250)  # an option no kernel has
    result = found("kernel", config, "warning")
    assert "UDP_SEGMENT" in result.text
    assert "4.18" in result.fix


def test_full_disk(config: Config, tmp_path: Path):
    if os.geteuid() != 0:
        pytest.skip("making a full disk needs root")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], check=True)
    try:
        result = found("files", replace(config, server=replace(config.server, data_dir=small)), "error")
    finally:
        subprocess.run(["umount", small], check=True)
    assert "0 MiB left" in result.text
    assert "make room" in result.fix


def test_a_password_that_others_can_read(config: Config):
    config.homeserver.password_file.chmod(0o644)
    assert "can be read by others" in found("files", config, "warning").text


class TestOfARunningServer:
    """The real socket, with what a server in trouble would say."""

    @pytest.fixture
    async def told(self, config: Config) -> Iterator[dict[str, Any]]:
        told: dict[str, Any] = {"ready": True, "not_ready": None, "layout": layout(), "counts": {}}
        server = OperatorSocket(
            prepare(config.server.data_dir / "run"), lambda: told, lambda _: [], lambda _: None
        )
        await server.start()
        yield told
        await server.stop()

    async def _found(self, name: str, config: Config, level: str) -> Result:
        import asyncio

        return await asyncio.to_thread(found, name, config, level)

    async def test_no_sync(self, config: Config, told: dict[str, Any]):
        told |= {"ready": False, "not_ready": "the homeserver does not answer"}
        result = await self._found("sync", config, "error")
        assert "the homeserver does not answer" in result.text
        assert "curl http://127.0.0.1:1/_matrix/client/versions" in result.fix

    async def test_rate_limited(self, config: Config, told: dict[str, Any]):
        told["counts"] = {"matrix_rate_limited": {"": 7}, "matrix_sent": {"": 20}}
        result = await self._found("sync", config, "warning")
        assert "limited the bot 7 times" in result.text
        assert "override_ratelimit" in result.fix

    async def test_another_layout(self, config: Config, told: dict[str, Any]):
        told["layout"] = "99.1"
        result = await self._found("layout", config, "warning")
        assert "layout 99.1" in result.text
        assert "firewall" in result.fix


def test_the_pages_port_is_taken(config: Config):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        result = found("http", replace(config, server=replace(config.server, http=taken)), "error")
    assert taken in result.text
    assert "in use" in result.text
    assert "[server].http" in result.fix


def test_the_page_without_tls(config: Config, tmp_path: Path):
    (tmp_path / "web").mkdir()
    (tmp_path / "web/index.html").write_text("<html>")
    open_to_all = replace(
        config,
        server=replace(config.server, http="0.0.0.0:8448"),
        client=replace(config.client, web_dir=tmp_path / "web"),
    )
    result = found("page", open_to_all, "error")
    assert "without TLS" in result.text
    assert "Caddyfile" in result.fix


def test_a_homeserver_without_tls_for_browsers(config: Config, tmp_path: Path):
    (tmp_path / "index.html").write_text("<html>")
    client = replace(config.client, web_dir=tmp_path, homeserver_url="http://matrix.example.org")
    assert "without TLS" in found("page", replace(config, client=client), "error").text


def test_no_browser_client(config: Config, tmp_path: Path):
    client = replace(config.client, web_dir=tmp_path / "nowhere")
    assert "has no browser client" in found("page", replace(config, client=client), "error").text


def test_figures_that_everybody_can_read(config: Config):
    server = replace(config.server, metrics="open")
    result = found(
        "page",
        replace(config, server=server, client=replace(config.client, homeserver_url="https://m.example.org")),
        "warning",
    )
    assert "/metrics" in result.text
    assert "[server].metrics" in result.fix


def test_for_programs_each_finding_has_level_text_and_fix(tmp_path: Path):
    (tmp_path / "password").write_text("wrong")
    path = tmp_path / "sotto.toml"
    path.write_text(
        '[homeserver]\nurl = "http://127.0.0.1:1"\nuser_id = "@sotto:localhost"\npassword_file = "password"\n'
        '[media]\nport = 0\nlisten = ["127.0.0.1"]\n'
    )
    told = json.loads(sotto("doctor", "--json", "--config", path, status=1).stdout)
    assert all(each.keys() >= {"level", "text", "fix"} for each in told)
    (broken,) = [each for each in told if each["level"] == "error" and each["text"].startswith("homeserver")]
    assert "[homeserver].url" in broken["fix"]


def test_a_healthy_case_has_no_error(config: Config):
    for name in ("kernel", "crypto", "files", "ports", "supervisor", "layout"):
        results = list(CHECKS[name](Case(config)))
        assert not [each for each in results if each.level == "error"], name
