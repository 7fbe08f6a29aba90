"""The control process.

Builds every part once, starts them in order, stops them in reverse. The only file that knows all.
"""

import asyncio
import ipaddress
import json
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from aiohttp import ClientError
from nio import AsyncClient

from control import readiness
from control.config import Config
from control.handover import EXIT_HOPELESS, Handover
from control.io.conferences import ConferenceRuntime
from control.io.figures_page import Readers
from control.io.gauges import conference_gauges, heartbeat_age, worker_gauges
from control.io.http import HttpServer
from control.io.matrix import BACKOFF_MAX_S, BACKOFF_MIN_S, MatrixBot
from control.io.matrix_account import (
    AccountError,
    HomeserverUnavailable,
    SyncPosition,
    kept_login,
    open_account,
)
from control.io.matrix_signing import DeviceSigning
from control.io.measures import Measures
from control.io.memory import Memory
from control.io.operator import OperatorSocket
from control.io.receivers import receiver_gauges
from control.io.status_page import StatusPage
from control.io.workers import WorkerLink
from control.metrics import Counts, Gauge, SottoCollector, registry
from control.moving import all_came, is_going_on
from control.overview import explanations, overview
from control.protocol import names
from control.protocol.content import error_object
from control.protocol.dtls import DtlsIdentity
from control.protocol.events import BotLimited, ConsentExpired, MatrixCallEvent, PublishRoutes, TransportId
from control.protocol.focus import Focus
from control.protocol.guest_list import GuestList
from fastpath_ext.counters import DESCRIPTIONS
from fastpath_ext.values import UplinkMessage

log = logging.getLogger("sotto.control")

# The homeserver counts as gone when it has not answered for longer: a /sync is held for 30 s.
SYNC_STALE_S = 90.0
# A worker whose heartbeat is older does not count as ready; the supervisor kills it at about the same age.
HEARTBEAT_STALE_S = 2.0


# Between two looks whether members of a former build are still awaited.
AWAITED_LOOK_S = 0.2
# Events that wait for the homeserver to answer at the start. Higher: memory. Lower: hangups are lost.
UNSENT_MAX = 1000


class App:
    """All parts of one control process."""

    def __init__(
        self,
        config: Config,
        handover: Handover,
        silent: Callable[[], bool],
        resume: Callable[[], bool] = lambda: False,
    ) -> None:
        self._config = config
        self._silent = silent
        self._resume_elsewhere = resume
        self._folder = Path(handover.run_dir)
        self._former = [Memory(fd) for fd in handover.former_fds]
        self._awaiting: asyncio.Task[None] | None = None
        self._counts = Counts()
        self._links = [WorkerLink(given, self._uplink, self._freed, self._lost) for given in handover.workers]
        self._bot: MatrixBot | None = None
        self._runtime: ConferenceRuntime | None = None
        self._measures: Measures | None = None
        self._problem: str | None = "starting"
        self._fault = False
        self._device: str | None = None
        self._unsent: deque[tuple[str, str, dict[str, Any], Callable[[], None]]] = deque(maxlen=UNSENT_MAX)
        collector = SottoCollector(
            self._counts, DESCRIPTIONS, lambda: [link.counters.values() for link in self._links], self._gauges
        )
        self._http = HttpServer(
            registry(collector),
            self._not_ready,
            client_config(config),
            config.client.page,
            self._counts.count,
            self._resume,
            StatusPage(Path(handover.run_dir), self._overview),
            Readers(config.server.metrics, config.server.metrics_token_file),
            config.client.embed_in,
        )
        self._operator = OperatorSocket(
            Path(handover.run_dir),
            self._overview,
            lambda user_id: explanations(self._focus, self._links, user_id),
            self._drain,
        )

    @property
    def _focus(self) -> Focus | None:
        return self._runtime.focus if self._runtime is not None else None

    def _overview(self) -> dict[str, Any]:
        return overview(self._focus, self._links, self._counts, self._not_ready())

    def _drain(self, wanted: bool) -> None:
        if self._focus is not None:
            self._focus.draining = wanted

    async def run(self) -> int:
        """Until cancelled; the exit status where going on is useless."""
        for link in self._links:
            link.start()
        try:
            await self._http.start(*self._config.http_address)
            await self._operator.start()
        except OSError as error:
            log.error(
                "HTTP address %s or the operator's socket: %s", self._config.server.http, error.strerror
            )
            return EXIT_HOPELESS
        telling = asyncio.get_running_loop().create_task(readiness.tell(self._not_ready, self._where()))
        try:
            self._go_on()
            client = await self._log_in()
            await self._start_bot(client).run()
        except AccountError as error:
            log.error("the bot cannot log in: %s", error)
            return EXIT_HOPELESS
        except OSError as error:
            log.error("the data folder cannot be used: %s", error)
            return EXIT_HOPELESS
        except Exception:
            self._fault = True
            raise
        finally:
            telling.cancel()
            await self._stop()
        return 0

    def _where(self) -> str:
        """What an operator opens in a browser and in a firewall; no address belongs into a log."""
        ports = " ".join(str(port) for link in self._links for port in link.ports)
        return f"page and figures on TCP {self._config.http_address[1]}, media on UDP {ports}"

    async def _log_in(self) -> AsyncClient:
        """Waits for a homeserver that is not there yet: after a power cut both start at once."""
        homeserver, data_dir = self._config.homeserver, self._config.server.data_dir
        password = _secret(homeserver.password_file)
        token = _secret(homeserver.access_token_file)
        backoff = BACKOFF_MIN_S
        while True:
            try:
                return await open_account(homeserver.url, homeserver.user_id, data_dir, password, token)
            except (ClientError, TimeoutError, HomeserverUnavailable) as error:
                self._problem = "the homeserver cannot be reached"
                self._counts.count("matrix_sync_failed")
                log.warning(
                    "the homeserver cannot be reached (%s), next attempt in %.1f s",
                    type(error).__name__,
                    backoff,
                )
                await asyncio.sleep(backoff)
                backoff = min(backoff * 2, BACKOFF_MAX_S)

    def _go_on(self) -> None:
        """With the conferences of a former control process, before the homeserver answers."""
        kept = kept_login(self._config.homeserver.user_id, self._config.server.data_dir)
        memories = [*self._former, *(link.memory for link in self._links if link.memory is not None)]
        if kept is not None and any(memory.notes for memory in memories):
            self._start_conferences(kept.user_id, kept.device_id)

    def _start_bot(self, client: AsyncClient) -> MatrixBot:
        if self._device not in (None, client.device_id):
            # Rare: the kept login was refused. The next process begins with the new one.
            raise RuntimeError("the bot has a new device")
        self._bot = bot = MatrixBot(
            client,
            SyncPosition(self._config.server.data_dir),
            self._matrix_event,
            self._counts.count,
            guest_list(self._config),
            DeviceSigning(
                client, self._config.server.data_dir, _secret(self._config.homeserver.password_file)
            ),
            self._counts.observe,
            self._bot_limited,
        )
        if self._runtime is None:
            self._start_conferences(client.user_id, client.device_id)
        for event in self._unsent:
            bot.send(*event)
        self._unsent.clear()
        self._problem = None
        return bot

    def _start_conferences(self, user_id: str, device_id: str) -> None:
        self._device = device_id
        self._runtime = ConferenceRuntime(
            user_id=user_id,
            party_id=device_id,
            places=[link.place(self._config.media.advertise) for link in self._links],
            workers=self._links,
            identity=DtlsIdentity(),
            send_matrix=self._send_matrix,
            count=self._counts.count,
            guests=guest_list(self._config),
            rates=self._config.media.rates,
            resume_url=urljoin(self._config.server.public_url, names.RESUME_PATH),
            ticket_grace_s=self._config.server.ticket_grace_s,
            memories=[link.memory for link in self._links],
            observe=self._counts.observe,
            former=self._former,
        )
        for memory in self._former:
            memory.close()
        self._former = []
        if is_going_on(self._folder):
            self._awaiting = asyncio.get_running_loop().create_task(self._await_all(self._runtime.focus))
        self._measures = Measures(self._links, self._config.server.data_dir, self._runtime.handle)

    async def _await_all(self, focus: Focus) -> None:
        """The supervisor ends the former build when nobody is on its lines any more."""
        while focus.awaited:  # noqa: ASYNC110 - there are many ways to come, and it is asked for minutes at most
            await asyncio.sleep(AWAITED_LOOK_S)
        all_came(self._folder)

    def _send_matrix(
        self, room_id: str, event_type: str, content: dict[str, Any], delivered: Callable[[], None]
    ) -> None:
        if self._bot is not None:
            self._bot.send(room_id, event_type, content, delivered)
        else:
            self._unsent.append((room_id, event_type, content, delivered))

    async def _stop(self) -> None:
        """Members are told before the bot's connection closes; media is the supervisor's to end.

        Where another control process follows they are not, and their media goes on: after a fault, in an
        upgrade.
        """
        if self._measures is not None:
            self._measures.close()
        if self._awaiting is not None:
            self._awaiting.cancel()
        if self._runtime is not None:
            resume = self._resume_elsewhere()
            await self._runtime.stop(silent=self._fault or self._silent(), resume=resume)
        if self._bot is not None:
            await self._bot.stop()
        await self._http.stop()
        await self._operator.stop()
        for link in self._links:
            link.close()

    def _matrix_event(self, event: MatrixCallEvent) -> None:
        if self._runtime is not None:
            self._runtime.matrix_event(event)

    def _bot_limited(self) -> None:
        if self._runtime is not None:
            self._runtime.handle(BotLimited())

    def _resume(self, body: str) -> tuple[int, dict[str, Any]]:
        if self._runtime is None:
            text = "The focus is starting: try again in a few seconds."
            return 503, {"error": error_object(names.BUSY, text)}
        return self._runtime.resume_untrusted(body)

    def _uplink(self, worker: int, message: UplinkMessage) -> None:
        if self._runtime is not None:
            self._runtime.uplink(worker, message)

    def _freed(self, gone: PublishRoutes) -> None:
        if self._runtime is not None:  # otherwise it will begin without them
            self._runtime.freed(gone)

    def _lost(self, transport: TransportId) -> None:
        if self._runtime is not None:
            self._runtime.handle(ConsentExpired(transport))

    def _not_ready(self) -> str | None:
        """Why a conference could not be joined now."""
        if self._problem is not None:
            return self._problem
        if self._bot is None or self._bot.last_sync is None:
            return "the first sync with the homeserver is not done"
        if time.monotonic() - self._bot.last_sync > SYNC_STALE_S:
            return "the homeserver does not answer"
        if (focus := self._focus) is not None and focus.short_of is not None:
            return focus.short_of
        late = [str(link.index) for link in self._links if heartbeat_age(link) > HEARTBEAT_STALE_S]
        return f"worker {', '.join(late)} does not run" if late else None

    def _gauges(self) -> Iterator[Gauge]:
        last_sync = self._bot.last_sync if self._bot is not None else None
        yield from conference_gauges(self._focus, self._not_ready() is None, last_sync)
        yield from receiver_gauges(link.table for link in self._links)
        yield from worker_gauges(self._links, self._measures.saturation if self._measures else {})


def guest_list(config: Config) -> GuestList:
    """Whom the operator lets in."""
    server = config.server
    return GuestList(
        frozenset(server.allowed_servers),
        frozenset(server.allowed_users),
        frozenset(server.denied_servers),
        frozenset(server.denied_users),
    )


def client_config(config: Config) -> dict[str, Any]:
    """What the browser client is told (docs/protocol.md section 6)."""
    told: dict[str, Any] = {
        "homeserver": config.client.homeserver_url,
        "focus": config.homeserver.user_id,
        "key_transport": config.client.key_transport,
    }
    if config.server.public_url:
        told["url"] = config.server.public_url
    if config.demo.people is not None and _is_loopback(config.http_address[0]):
        stage = json.loads(config.demo.people.read_text())
        told["demo"] = {"room_id": stage["room_id"], "people": stage["people"]}
    return told


def _is_loopback(host: str) -> bool:
    """Passwords of the demo's people are for nobody on another machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _secret(path: Path | None) -> str | None:
    return path.read_text().strip() if path is not None else None


async def run(
    config: Config, handover: Handover, silent: Callable[[], bool], resume: Callable[[], bool]
) -> int:
    """The control process, from the supervisor's hands.

    At the end `silent` says whether members are told, and `resume` whether they are asked to come to another.
    """
    return await App(config, handover, silent, resume).run()
