"""What doctor looks at. Each check says ok, or what is wrong and how to mend it; none changes anything."""

import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from control import run_dir
from control.cli import homeserver as ask
from control.cli.asking import Server
from control.cli.main import Failure
from control.cli.reach import reach
from control.config import Config

SKEW_S: Final = 60.0
"""Tickets are refused when clocks differ by 5 minutes; a minute is a clock that nobody sets."""
DISK_MIN: Final = 64 << 20
BUFFER_MIN: Final = 2 << 20
"""Bytes of a UDP socket's buffer below which a busy worker loses packets while it is elsewhere for 50 ms."""
FILES_MIN: Final = 4096
FILES_FIX: Final = "LimitNOFILE=65536 in the service's unit; --ulimit nofile=65536 for a container."
UDP_SEGMENT: Final = 103


@dataclass(frozen=True, slots=True)
class Result:
    """`level` is "ok", "warning" or "error"."""

    level: str
    text: str
    fix: str = ""


@dataclass(slots=True)
class Case:
    """What is looked at. The paths can be others in tests."""

    config: Config
    proc_sys: Path = Path("/proc/sys")

    @property
    def base(self) -> str:
        return self.config.homeserver.url.rstrip("/")

    @property
    def server(self) -> Server:
        return Server(self.config)


def _homeserver(case: Case) -> Iterator[Result]:
    try:
        answer = ask.versions(case.base)
    except ask.HomeserverError as error:
        yield Result(
            "error",
            f"homeserver {case.base}: {error}",
            "Is it running? Is [homeserver].url what this machine reaches?",
        )
        return
    yield Result("ok", f"homeserver {case.base} answers")
    features = answer.body.get("unstable_features", {})
    if not (isinstance(features, dict) and features.get("org.matrix.msc4140")):
        yield Result(
            "warning",
            "the homeserver has no delayed events (MSC4140): a conference whose last member's machine dies"
            " stays announced until somebody joins",
            "Synapse: experimental_features.msc4140_enabled: true, and max_event_delay_duration: 24h",
        )
    if (date := answer.headers.get("date")) is not None:
        skew = time.time() - parsedate_to_datetime(date).timestamp()
        if abs(skew) > SKEW_S:
            yield Result(
                "error",
                f"this machine's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the"
                f" homeserver's",
                "Tickets would be refused. Run a time service on both (systemctl enable --now"
                " systemd-timesyncd).",
            )
        else:
            yield Result("ok", "the clocks agree")


def _bot(case: Case) -> Iterator[Result]:
    given = case.config.homeserver
    try:
        if given.access_token_file is not None:
            token = given.access_token_file.read_text().strip()
            who = ask.whoami(case.base, token)
            if who.get("user_id") != given.user_id:
                yield Result(
                    "error",
                    "the access token belongs to another account than [homeserver].user_id",
                    "Log the bot in and put its own token into the file.",
                )
                return
            yield Result("ok", "the bot's access token is accepted")
        elif given.password_file is not None:
            user_id = ask.log_in(case.base, given.user_id, given.password_file.read_text().strip())
            yield Result("ok", f"{user_id} can log in")
    except OSError as error:
        yield Result(
            "error", f"{error.filename}: {error.strerror}", "One line with the bot's password or token."
        )
    except ask.HomeserverError as error:
        if error.code in ("M_UNKNOWN_TOKEN", "M_MISSING_TOKEN"):
            yield Result(
                "error",
                f"the bot's access token has expired or was withdrawn ({error.code})",
                f"Log the bot in again and write the new token into {given.access_token_file}; a password"
                " (password_file instead) does not expire.",
            )
        elif error.code == "M_FORBIDDEN":
            yield Result(
                "error",
                "the homeserver refuses the bot's password",
                "Set it anew, or correct the file that [homeserver].password_file names.",
            )
        elif error.code == "M_LIMIT_EXCEEDED":
            yield Result("warning", f"whether the bot can log in is not known: {error}", "Try again then.")
        else:
            yield Result(
                "error", f"the bot cannot log in: {error}", "Does the homeserver's log say why? Is it well?"
            )


def _sync(case: Case) -> Iterator[Result]:
    try:
        told = case.server.get("/status")
    except Failure:
        yield Result(
            "ok", "no server runs with this data folder now: what needs a running one is not looked at"
        )
        return
    if told["ready"]:
        yield Result("ok", "the running server follows the homeserver")
    else:
        yield Result(
            "error",
            f"the running server is not ready: {told['not_ready']}",
            "Calls in progress go on, nobody can join. Does this answer?\n"
            f"curl {case.base}/_matrix/client/versions\n"
            "The server's log says more: journalctl -u sotto -n 50",
        )
    waits = sum(told["counts"].get("matrix_rate_limited", {}).values())
    sent = sum(told["counts"].get("matrix_sent", {}).values())
    if waits:
        yield Result(
            "warning",
            f"the homeserver limited the bot {waits} times ({sent} messages sent): joins wait for that",
            f"curl -X POST -H \"Authorization: Bearer $ADMIN\" -d '{{}}' {case.base}/_synapse/admin/v1/users/"
            f"{case.config.homeserver.user_id}/override_ratelimit",
        )


def _layout(case: Case) -> Iterator[Result]:
    from control.layout import layout

    try:
        running = case.server.get("/status").get("layout", "of an older form")
    except Failure:
        return
    if running != layout():
        yield Result(
            "warning",
            f"the running server has layout {running}, what is installed has {layout()}: `sotto upgrade`"
            " moves its calls to other UDP ports",
            "open the ports of [media].upgrade_port in the firewall before it.",
        )
    else:
        yield Result("ok", f"layout {layout()}: `sotto upgrade` renews the running server in place")


def _kernel(case: Case) -> Iterator[Result]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 1200)
            yield Result("ok", "the kernel sends runs of packets at once (UDP_SEGMENT)")
        except OSError:
            yield Result(
                "warning",
                "the kernel has no UDP_SEGMENT: sending costs three times the processor time",
                "Linux 4.18 or later has it.",
            )
    for name, what in (("rmem_max", "receive"), ("wmem_max", "send")):
        limit = int((case.proc_sys / "net/core" / name).read_text())
        if limit < BUFFER_MIN and not _may_exceed():
            yield Result(
                "warning",
                f"net.core.{name} is {limit}: {what} buffers are too small for a busy worker",
                f"sysctl -w net.core.{name}=4194304, and the same into /etc/sysctl.d/sotto.conf",
            )
        else:
            yield Result("ok", f"{what} buffers can be large enough")


def _may_exceed() -> bool:
    """CAP_NET_ADMIN goes beyond net.core's limits."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> 12 & 1)
    return False


def _crypto(_case: Case) -> Iterator[Result]:
    from fastpath_ext.packet_crypto import crypto_choose

    backend = crypto_choose()
    if "openssl" in backend.lower():
        yield Result(
            "warning",
            f"packets are encrypted by {backend}: twice the processor time of libipsec-mb",
            "apt-get install libipsec-mb-dev before building, or use the packaged wheel.",
        )
    else:
        yield Result("ok", f"packets are encrypted by {backend}")


def _files(case: Case) -> Iterator[Result]:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES_MIN:
        yield Result("warning", f"at most {hard} open files", FILES_FIX)
    else:
        yield Result("ok", f"open files: {soft}")
    folder = case.config.server.data_dir
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    if not os.access(existing, os.W_OK):
        yield Result(
            "error", f"{existing} cannot be written by this user", "chown it to the user the server runs as."
        )
    free = shutil.disk_usage(existing).free
    if free < DISK_MIN:
        yield Result(
            "error",
            f"{existing} has {free >> 20} MiB left",
            "The bot's keys and its place in Matrix must be written: make room.",
        )
    else:
        yield Result("ok", f"{existing}: {free >> 20} MiB free")
    for secret in (case.config.homeserver.password_file, case.config.homeserver.access_token_file):
        if secret is not None and secret.exists() and secret.stat().st_mode & 0o077:
            yield Result("warning", f"{secret} can be read by others", f"chmod 600 {secret}")


def _ports(case: Case) -> Iterator[Result]:
    yield from (Result(*each) for each in reach(case.config, case.server))


def _http(case: Case) -> Iterator[Result]:
    if case.server.supervisor:
        return  # it is ours
    host, port = case.config.http_address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)  # with SO_REUSEADDR two may be bound, but one listens
        except OSError as error:
            yield Result(
                "error",
                f"the page's port {case.config.server.http} cannot be opened: {error.strerror}",
                "Another program has it (ss -ltnp says which): set another [server].http, in the proxy too.",
            )
        else:
            yield Result("ok", f"the page's port {case.config.server.http} can be opened")


def _page(case: Case) -> Iterator[Result]:
    client = case.config.client
    if case.config.server.metrics == "open":
        yield Result(
            "warning",
            "everybody who reaches the page can read /metrics: how many people talk, and when",
            'Set [server].metrics to "local" or "token", or hide it in the proxy: examples/nginx.conf.',
        )
    folder = client.page
    if folder is None:
        yield Result(
            "warning",
            "no browser client is served: none is installed with this program",
            "make web, or use the packaged wheel, or set [client].web_dir.",
        )
        return
    if not (folder / "index.html").exists():
        yield Result("error", f"{folder} has no browser client", "make web, or another [client].web_dir.")
    host = case.config.http_address[0]
    parts = urlsplit(client.homeserver_url)
    if host not in ("127.0.0.1", "::1", "localhost"):
        yield Result(
            "error",
            f"the page is served without TLS on {host}: browsers give no camera and no microphone to"
            f" such pages",
            "Serve it on 127.0.0.1 and put a TLS proxy before it: examples/nginx.conf, examples/Caddyfile.",
        )
    else:
        yield Result("ok", "the page is served to a proxy on this machine")
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        yield Result(
            "error",
            f"browsers are sent to {client.homeserver_url} without TLS: a page with TLS may not load"
            f" from there",
            "Set [client].homeserver_url to the homeserver's https address.",
        )
    elif parts.hostname in ("127.0.0.1", "::1", "localhost"):
        yield Result(
            "warning",
            f"browsers are told to find the homeserver at {client.homeserver_url}: only those on this"
            f" machine do",
            "Set [client].homeserver_url to the homeserver's public https address.",
        )


def _supervisor(case: Case) -> Iterator[Result]:
    folder = case.config.server.data_dir / "run"
    running = run_dir.holder(run_dir.supervisor_lock(folder)) if folder.exists() else None
    keepers = list(folder.glob("keeper-*.sock")) if folder.exists() else []
    if not running and keepers:
        yield Result(
            "warning",
            "workers of a server whose supervisor is gone may still be at work",
            "sotto serve takes them over; they end by themselves a minute after the last call.",
        )
    elif running:
        yield Result("ok", f"the server runs, process {running}")


CHECKS: Final[dict[str, Callable[[Case], Iterator[Result]]]] = {
    "homeserver": _homeserver,
    "bot": _bot,
    "sync": _sync,
    "supervisor": _supervisor,
    "layout": _layout,
    "kernel": _kernel,
    "crypto": _crypto,
    "files": _files,
    "ports": _ports,
    "http": _http,
    "page": _page,
}
