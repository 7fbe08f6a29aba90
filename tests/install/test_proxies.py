"""The examples of examples/ as they stand, in Debian's nginx and Caddy, before a server that runs.

Only what belongs to a machine is put into them: port, certificate, where the server is.
"""

import json
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from control.config import load
from control.demo.process import free_port
from tests.cli.conftest import running, settled
from tests.cli.operator import until

NAME = "meet.example.org"
__all__ = ["running", "settled"]


@pytest.fixture(scope="module")
def programs(root: Path) -> tuple[Path, Path]:
    nginx, caddy = subprocess.check_output([root / "tools/proxies.sh"], text=True).split()[-2:]
    return Path(nginx), Path(caddy)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("certificate")
    chain, key = folder / "fullchain.pem", folder / "privkey.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-days", "2",
         "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}", "-keyout", key, "-out", chain],
        check=True, capture_output=True,
    )  # fmt: skip
    return chain, key


@pytest.fixture(params=["nginx", "caddy"])
def proxy(
    request: pytest.FixtureRequest, root: Path, programs: tuple[Path, Path], certificate: tuple[Path, Path],
    running: Path, tmp_path: Path,
) -> Iterator[int]:  # fmt: skip
    """Its port."""
    nginx, caddy = programs
    chain, key = certificate
    port = free_port()
    server = ":".join(map(str, load(running, {}).http_address))
    if request.param == "nginx":
        example = (root / "examples/nginx.conf").read_text().replace("127.0.0.1:8450", server)
        example = example.replace("listen 443", f"listen 127.0.0.1:{port}").replace(
            "    listen [::]:443 ssl;\n", ""
        )
        example = example.replace(f"/etc/letsencrypt/live/{NAME}", str(chain.parent))
        folders = "\n".join(
            f"{kind}_temp_path {tmp_path}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        config = tmp_path / "nginx.conf"
        config.write_text(
            f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log;\nevents {{}}\n"
            f"http {{ access_log off; {folders}\n{example}\n}}\n"
        )
        command = [nginx, "-p", tmp_path, "-c", config]
        subprocess.run([*command, "-t"], check=True)
    else:
        example = (root / "examples/Caddyfile").read_text().replace("127.0.0.1:8450", server)
        example = example.replace(
            f"{NAME} {{", f"https://{NAME}:{port} {{\n\tbind 127.0.0.1\n\ttls {chain} {key}"
        )
        config = tmp_path / "Caddyfile"
        config.write_text(
            f"{{\n\tadmin off\n\tauto_https off\n\tstorage file_system {tmp_path}\n}}\n{example}"
        )
        command = [caddy, "run", "--config", config, "--adapter", "caddyfile"]
    process = subprocess.Popen(command, env={"HOME": str(tmp_path), "PATH": "/usr/bin"})
    try:
        until(lambda: ask(port, chain, "/healthz")[0] == 200)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def ask(port: int, chain: Path, path: str, body: bytes | None = None) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers, by the public name over TLS."""
    import http.client

    class Connection(http.client.HTTPSConnection):
        def connect(self) -> None:  # the name is nobody's here
            import socket

            plain = socket.create_connection(("127.0.0.1", port), 10)
            self.sock = ssl.create_default_context(cafile=str(chain)).wrap_socket(plain, server_hostname=NAME)

    connection = Connection(NAME, port)
    try:
        connection.request("GET" if body is None else "POST", path, body, {"Host": NAME})
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())
    except OSError:
        return 0, b"", {}
    finally:
        connection.close()


def test_the_page_goes_through_and_the_figures_do_not(
    proxy: int, certificate: tuple[Path, Path], running: Path
) -> None:
    chain = certificate[0]
    status, page, headers = ask(proxy, chain, "/")
    assert (status, b"<title>" in page) == (200, True)
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    script = page.partition(b'src="./assets/')[2].partition(b'"')[0].decode()
    assert ask(proxy, chain, f"/assets/{script}")[0] == 200
    assert json.loads(ask(proxy, chain, "/config.json")[1])["focus"] == "@operated:localhost"
    status, said, _ = ask(proxy, chain, "/resume", b'{"token": "of nobody"}')
    assert status in (400, 404)
    assert "error" in json.loads(said)
    assert [ask(proxy, chain, path)[0] for path in ("/metrics", "/status", "/status.json")] == [404] * 3
    # And where somebody forgot to hide them, the server does.
    host, port = load(running, {}).http_address
    direct = urllib.request.Request(f"http://{host}:{port}/metrics", headers={"X-Forwarded-For": "192.0.2.1"})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(direct, timeout=5)
