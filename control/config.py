"""Configuration: one TOML file, overridden by environment variables, checked before anything starts.

Every option can also be given as SOTTO_<SECTION>_<OPTION>, lists separated by commas; the variable wins.
"""

import dataclasses
import ipaddress
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import urlsplit

from control.config_text import host_and_port, line_of, nearest
from control.protocol import limits
from control.protocol.rates import Rates

# Nothing else: it goes into a header of every page.
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?")
_USER_ID = re.compile(r"@[^:\s]+:\S+")


class ConfigError(Exception):
    """The configuration cannot be used; the text says where and why."""


@dataclass(frozen=True, slots=True)
class HomeserverConfig:
    """[homeserver]: where the bot lives."""

    url: str = ""
    """Base URL of the client-server API as this machine reaches it. Required."""
    user_id: str = ""
    """The bot's full user id, @name:server. Required."""
    password_file: Path | None = None
    """File with the bot's password on one line. Either this or access_token_file."""
    access_token_file: Path | None = None
    """File with an access token of the bot on one line."""


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """[server]: this machine."""

    data_dir: Path = Path("data")
    """What must outlive a restart: the bot's device keys and where it is in Matrix. Made if missing."""
    http: str = "127.0.0.1:8450"
    """Address and port of the browser client, /metrics and the health pages; put a TLS proxy before it."""
    public_url: str = ""
    """Address at which people reach that port through the proxy; ends with "/". Members are told it, so that
    those who never saw the page come back after an interruption, too. Default: only browsers know it."""
    workers: int = 0
    """Processes that forward media. 0: one per core. More than cores only adds switching between them."""
    metrics: str = "local"
    """Who may read /metrics on that port: "local" (programs on this machine that ask by address, not through
    a proxy), "token" (whoever brings the token of metrics_token_file), "open" (everybody: only behind a proxy
    that hides it)."""
    metrics_token_file: Path | None = None
    """File with the token on one line; Prometheus sends it by `authorization: {credentials_file: ...}`.
    Default: none, which metrics = "token" refuses."""
    allowed_servers: tuple[str, ...] = ()
    """Homeservers whose users may begin and join conferences. Default: all that can reach the bot."""
    allowed_users: tuple[str, ...] = ()
    """Users who may, whatever their homeserver. Where anybody is allowed by name, nobody else is served."""
    denied_servers: tuple[str, ...] = ()
    """Homeservers whose users may not."""
    denied_users: tuple[str, ...] = ()
    """Users who may not, whatever else is allowed."""
    ticket_grace_s: int = int(limits.EPOCH_GRACE)
    """Seconds in which everybody inside has to have the new ticket that follows when somebody left. More: who
    was removed stays longer. Less: members on slow homeservers have to join again."""


@dataclass(frozen=True, slots=True)
class MediaConfig:
    """[media]: the UDP sockets."""

    listen: tuple[str, ...] = ("::",)
    """Addresses to bind. "::" is every address, IPv6 and IPv4."""
    port: int = 40000
    """UDP port of the first worker, the next one is the second's and so on. 0: any free ones."""
    upgrade_port: int = 0
    """UDP port of the first worker of a build that another one's calls move over to, where `sotto upgrade`
    meets another layout; the next such upgrade goes back to `port`. 0: the ports right behind those of
    `port`."""
    advertise: tuple[str, ...] = ()
    """Addresses told to clients, where a NAT or a floating address stands before this machine.
    Default: those of `listen`, or all of the machine's own."""
    thumbnail_bps: int = limits.CAMERA_BITRATES[0]
    """Most that a camera's thumbnail may take, bit/s. What it takes follows its viewers' networks."""
    middle_bps: int = limits.CAMERA_BITRATES[1]
    """The same of its middle size."""
    full_bps: int = limits.CAMERA_BITRATES[2]
    """The same of its full size."""
    screen_bps: int = limits.SCREEN_BITRATE
    """The same of a shared screen."""
    share_percent: int = limits.SHARE_PERCENT
    """Viewers who can take less than this part of the middle viewer's rate, in percent, get a smaller picture
    instead of holding the others down. 100: whoever is slower than most. 1: hardly anybody."""
    downlink_max_bps: int = 0
    """Most that is sent to one participant, bit/s. 0: as much as their network takes."""
    hold_us: int = 3000
    """Longest that a busy worker gathers packets before it sends them, microseconds; an idle one never does.
    More: fewer passes through the kernel, later packets. 0: never, not even the 150 us after it was woken."""
    busy_poll_us: int = 0
    """So long a worker without work looks for packets again and again before it sleeps, microseconds. More:
    what comes next is taken without a wake, and a core that is always busy. 0: it sleeps at once."""
    packet_interface: str = ""
    """Network interface over which IPv4 leaves past the kernel's UDP and IP, by a packet socket: less CPU for
    each message, but firewall rules on what leaves do not see it. Needs CAP_NET_RAW. Default: none."""

    @property
    def rates(self) -> Rates:
        camera = self.thumbnail_bps, self.middle_bps, self.full_bps
        return Rates(camera, self.screen_bps, self.share_percent, self.downlink_max_bps)


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """[client]: the browser client this server hands out."""

    web_dir: Path | None = None
    """Folder with the built client. Default: the one that came with this program."""
    key_transport: str = "timeline"
    """How members exchange media keys: "timeline" (encrypted room events) or "to-device" (Olm)."""
    homeserver_url: str = ""
    """Base URL of the homeserver as browsers reach it. Default: [homeserver].url."""
    embed_in: tuple[str, ...] = ()
    """Origins of the pages that may embed the client, as a Matrix widget. Default: none may."""

    @property
    def page(self) -> Path | None:
        """The folder that is served: a wheel has the client inside, a checkout builds it."""
        beside = Path(__file__).resolve().parent
        own = (beside / "page", beside.parent / "web" / "dist")
        return self.web_dir or next((folder for folder in own if (folder / "index.html").is_file()), None)


@dataclass(frozen=True, slots=True)
class DemoConfig:
    """[demo]: only for `make demo`."""

    people: Path | None = None
    """File with accounts the page may sign in to by name."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything, checked. Paths are absolute."""

    homeserver: HomeserverConfig = field(default_factory=HomeserverConfig)
    server: ServerConfig = field(default_factory=ServerConfig)
    media: MediaConfig = field(default_factory=MediaConfig)
    client: ClientConfig = field(default_factory=ClientConfig)
    demo: DemoConfig = field(default_factory=DemoConfig)

    @property
    def http_address(self) -> tuple[str, int]:
        """Host and port of [server].http."""
        return host_and_port(self.server.http)

    def to_json(self) -> str:
        """For processes of ours: they go by what was read at the start, whatever becomes of the file."""
        return json.dumps(dataclasses.asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> "Config":
        return _build(json.loads(text), Path("/"), lambda _section, _option: "handed-over configuration")


SECTIONS: dict[str, type[Any]] = {
    "homeserver": HomeserverConfig,
    "server": ServerConfig,
    "media": MediaConfig,
    "client": ClientConfig,
    "demo": DemoConfig,
}


def load(path: Path, environment: Mapping[str, str]) -> Config:
    """Reads and checks. ConfigError names the file and line, or the variable, that is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"there is no configuration at {path.absolute()}: `sotto init` writes one; --config or the"
            " variable SOTTO_CONFIG says where it is"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error.strerror if isinstance(error, OSError) else error}") from None
    return parse(text, path, environment)


def parse(text: str, path: Path, environment: Mapping[str, str]) -> Config:
    """Of what stands in `path`, or will."""
    try:
        values: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from None
    variables = _variables(environment)

    def where(section: str, option: str) -> str:
        variable = f"SOTTO_{section}_{option}".upper()
        return variable if (section, option) in variables else f"{path}:{line_of(text, section, option)}"

    for section, table in values.items():
        if section not in SECTIONS:
            hint = nearest(section, SECTIONS)
            raise ConfigError(f"{path}:{line_of(text, section, '')}: no section [{section}]{hint}")
        if not isinstance(table, dict):
            at = line_of(text, "", section)
            raise ConfigError(f"{path}:{at}: {section} is a section, write [{section}]")
    for (section, option), value in variables.items():
        values.setdefault(section, {})[option] = value
    return _build(values, path.resolve().parent, where)


def _variables(environment: Mapping[str, str]) -> dict[tuple[str, str], Any]:
    """Options given as environment variables, by section and option."""
    found: dict[tuple[str, str], Any] = {}
    for name, value in environment.items():
        section, _, option = name.lower().removeprefix("sotto_").partition("_")
        if not name.startswith("SOTTO_") or section not in SECTIONS:
            continue
        kind = get_type_hints(SECTIONS[section]).get(option)
        if kind is None:
            raise ConfigError(f"{name}: [{section}] has no option {option}")
        if kind is int:
            try:
                found[section, option] = int(value)
            except ValueError:
                raise ConfigError(f"{name}: a whole number is needed, not {value!r}") from None
        elif kind == tuple[str, ...]:
            found[section, option] = [item.strip() for item in value.split(",") if item.strip()]
        else:
            found[section, option] = value
    return found


def _build(values: Mapping[str, Any], folder: Path, where: Any) -> Config:
    sections: dict[str, Any] = {}
    for section, kind in SECTIONS.items():
        types = get_type_hints(kind)
        options: dict[str, Any] = {}
        for option, value in values.get(section, {}).items():
            if option not in types:
                raise ConfigError(
                    f"{where(section, option)}: [{section}] has no option {option}{nearest(option, types)}"
                )
            try:
                options[option] = _convert(value, types[option], folder)
            except ValueError as error:
                raise ConfigError(f"{where(section, option)}: {option} {error}") from None
        sections[section] = kind(**options)
    server, client = sections["server"], sections["client"]
    sections["server"] = dataclasses.replace(server, data_dir=folder / server.data_dir)
    if not client.homeserver_url:
        sections["client"] = dataclasses.replace(client, homeserver_url=sections["homeserver"].url)
    config = Config(**sections)
    _check(config, where)
    return config


def _convert(value: Any, kind: Any, folder: Path) -> Any:
    if kind is int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError("must be a whole number")
        return value
    if kind == tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ValueError("must be a list of strings")
        return tuple(value)
    if value is None and kind == Path | None:
        return None
    if not isinstance(value, str):
        raise ValueError("must be a string")
    return value if kind is str else folder / Path(value).expanduser()


def _check(config: Config, where: Any) -> None:
    """What no single option can know."""

    def refuse(section: str, option: str, why: str) -> None:
        raise ConfigError(f"{where(section, option)}: {why}")

    homeserver, server, media, client = config.homeserver, config.server, config.media, config.client
    if server.public_url and not server.public_url.endswith("/"):
        refuse("server", "public_url", 'public_url must end with "/": what is beside it is looked for there')
    for section, option, url in (
        ("homeserver", "url", homeserver.url),
        ("client", "homeserver_url", client.homeserver_url),
        ("server", "public_url", server.public_url or homeserver.url),
    ):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            refuse(section, option, f"{option} must be an http or https URL without a user in it")
    if not _USER_ID.fullmatch(homeserver.user_id):
        refuse("homeserver", "user_id", "user_id must be the bot's whole id, @name:server")
    if homeserver.password_file is None and homeserver.access_token_file is None:
        refuse("homeserver", "password_file", "one of password_file and access_token_file is needed")
    if homeserver.password_file is not None and homeserver.access_token_file is not None:
        refuse("homeserver", "access_token_file", "password_file and access_token_file contradict each other")
    try:
        host_and_port(server.http)
    except ValueError:
        refuse("server", "http", 'http must be address:port, such as "127.0.0.1:8450" or "[::1]:8450"')
    if server.metrics not in ("local", "token", "open"):
        refuse("server", "metrics", 'metrics must be "local", "token" or "open"')
    if (server.metrics == "token") != (server.metrics_token_file is not None):
        refuse("server", "metrics", 'metrics = "token" and metrics_token_file go together')
    if not 0 <= server.workers <= 1024:
        refuse("server", "workers", "workers must be between 0 (one per core) and 1024")
    if media.port < 0 or media.port + max(server.workers - 1, 0) > 65535:
        refuse("media", "port", "port must be between 0 and 65535, with room for one per worker")
    if media.upgrade_port:
        apart = abs(media.upgrade_port - media.port) >= max(server.workers, 1)
        if not 0 < media.upgrade_port <= 65535 - max(server.workers - 1, 0) or not apart:
            refuse("media", "upgrade_port", "upgrade_port needs room for all workers, apart from port")
    if client.key_transport not in ("timeline", "to-device"):
        refuse("client", "key_transport", 'key_transport must be "timeline" or "to-device"')
    for origin in client.embed_in:
        if not _ORIGIN.fullmatch(origin):
            refuse("client", "embed_in", f"embed_in: {origin!r} is no origin such as https://app.example.org")
    _check_addresses(media, refuse)
    _check_rates(media, refuse)
    _check_grace(server, refuse)


def _check_addresses(media: MediaConfig, refuse: Any) -> None:
    if not media.listen:
        refuse("media", "listen", "listen needs at least one address")
    for option, addresses in (("listen", media.listen), ("advertise", media.advertise)):
        for address in addresses:
            try:
                parsed = ipaddress.ip_address(address)
            except ValueError:
                refuse("media", option, f"{address!r} is not an IP address (names are not looked up)")
            if option == "advertise" and (parsed.is_unspecified or parsed.is_multicast):
                refuse("media", option, f"nobody can send to {address}")
        if len(set(addresses)) != len(addresses):
            refuse("media", option, "an address is listed twice")
    if "::" in media.listen and len(media.listen) > 1:
        refuse("media", "listen", '"::" is every address already: list it alone')
    if "0.0.0.0" in media.listen and any(":" not in a and a != "0.0.0.0" for a in media.listen):
        refuse("media", "listen", '"0.0.0.0" is every IPv4 address already')


def _check_grace(server: ServerConfig, refuse: Any) -> None:
    if not 5 <= server.ticket_grace_s <= 600:
        refuse("server", "ticket_grace_s", "ticket_grace_s must be between 5 and 600 seconds")


def _check_rates(media: MediaConfig, refuse: Any) -> None:
    least, most = limits.BITRATE_LEAST, limits.BITRATE_MOST
    for option in ("thumbnail_bps", "middle_bps", "full_bps", "screen_bps"):
        if not least <= getattr(media, option) <= most:
            refuse("media", option, f"{option} must be between {least} and {most} bit/s")
    if media.middle_bps < media.thumbnail_bps:
        refuse("media", "middle_bps", "middle_bps must not be below thumbnail_bps")
    if media.full_bps < media.middle_bps:
        refuse("media", "full_bps", "full_bps must not be below middle_bps")
    if not 1 <= media.share_percent <= 100:
        refuse("media", "share_percent", "share_percent must be between 1 and 100")
    if not 0 <= media.hold_us <= 20000:
        refuse("media", "hold_us", "hold_us must be between 0 and 20000 microseconds")
    if not 0 <= media.busy_poll_us <= 100000:
        refuse("media", "busy_poll_us", "busy_poll_us must be between 0 and 100000 microseconds")
    if media.downlink_max_bps and not least <= media.downlink_max_bps <= 0xFFFFFFFF:
        refuse(
            "media", "downlink_max_bps", f"downlink_max_bps must be 0 (no bound) or at least {least} bit/s"
        )
