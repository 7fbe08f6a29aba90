"""Every option of the configuration as values: meaning, default, example. Read from config.py itself."""

import ast
import dataclasses
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_type_hints

from control import config

EXAMPLES: Final = {
    "homeserver.url": '"https://matrix.example.org"',
    "homeserver.user_id": '"@sotto:example.org"',
    "homeserver.password_file": '"/etc/sotto/bot.password"',
    "homeserver.access_token_file": '"/etc/sotto/bot.token"',
    "server.data_dir": '"/var/lib/sotto"',
    "server.http": '"[::1]:8449"',
    "server.metrics": '"token"',
    "server.metrics_token_file": '"/etc/sotto/metrics.token"',
    "server.public_url": '"https://calls.example.org/"',
    "server.workers": "2",
    "server.allowed_servers": '["example.org", "friends.example.net"]',
    "server.allowed_users": '["@guest:example.com"]',
    "server.denied_servers": '["spam.example"]',
    "server.denied_users": '["@mallory:example.org"]',
    "server.ticket_grace_s": "60",
    "media.listen": '["192.0.2.10"]',
    "media.port": "50000",
    "media.upgrade_port": "50100",
    "media.advertise": '["203.0.113.5"]',
    "media.thumbnail_bps": "100000",
    "media.middle_bps": "400000",
    "media.full_bps": "2500000",
    "media.screen_bps": "4000000",
    "media.share_percent": "30",
    "media.downlink_max_bps": "8000000",
    "media.hold_us": "5000",
    "media.busy_poll_us": "200",
    "media.packet_interface": '"eth0"',
    "client.web_dir": '"/usr/share/sotto/web"',
    "client.key_transport": '"to-device"',
    "client.homeserver_url": '"https://matrix.example.org"',
    "client.embed_in": '["https://app.example.org"]',
}
"""A value other than the default, as it stands in the file."""
HIDDEN: Final = {"demo"}
"""Sections that are for ourselves."""


@dataclass(frozen=True, slots=True)
class Option:
    """One line of the file."""

    section: str
    name: str
    kind: str
    """What may stand there: string, whole number, list of strings, path."""
    default: str
    """As it stands in the file; empty = none, the text says what happens then."""
    text: str
    example: str

    @property
    def variable(self) -> str:
        return f"SOTTO_{self.section}_{self.name}".upper()


def options() -> Iterator[Option]:
    """In the order of the file."""
    for section, kind in config.SECTIONS.items():
        if section in HIDDEN:
            continue
        texts = _texts(kind)
        for field in dataclasses.fields(kind):
            yield Option(
                section,
                field.name,
                _kind(get_type_hints(kind)[field.name]),
                _default(field.default),
                texts[field.name],
                EXAMPLES[f"{section}.{field.name}"],
            )


def section_text(section: str) -> str:
    return inspect.cleandoc(config.SECTIONS[section].__doc__ or "").partition(": ")[2]


def _texts(kind: type) -> dict[str, str]:
    """The strings that follow the fields."""
    (definition,) = ast.parse(inspect.cleandoc("\n" + inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    found: dict[str, str] = {}
    name = ""
    for statement in definition.body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name)):
                continue
            case ast.Expr(value=ast.Constant(value=str(text))) if name:
                found[name] = " ".join(inspect.cleandoc(text).split())
    return found


def _kind(hint: Any) -> str:
    if hint is int:
        return "whole number"
    if hint == tuple[str, ...]:
        return "list of strings"
    return "string" if hint is str else "path"


def _default(value: Any) -> str:
    if value in (None, "", ()):
        return ""
    if isinstance(value, tuple):
        return "[" + ", ".join(f'"{item}"' for item in value) + "]"
    return f'"{value}"' if isinstance(value, str | Path) else str(value)


def markdown() -> str:
    """docs/configuration.md."""
    lines = [
        "# Configuration",
        "",
        "One TOML file, by default `sotto.toml` in the folder where `sotto` is called. Relative paths are"
        " relative to the file. Each option can also be given as an environment variable, lists separated by"
        " commas; the variable wins. Unknown options, wrong types and contradictions are refused with"
        " the line"
        " they stand in; `sotto config check` does that without starting anything. This page is made from the"
        " source: `sotto config --markdown`.",
    ]
    current = ""
    for option in options():
        if option.section != current:
            current = option.section
            lines += ["", f"## [{current}]: {section_text(current)}"]
        default = f"`{option.default}`" if option.default else "none"
        lines += [
            "",
            f"### {option.name}",
            "",
            option.text,
            "",
            f"{option.kind.capitalize()}, default {default}. Variable `{option.variable}`. Example:",
            "",
            "```toml",
            f"{option.name} = {option.example}",
            "```",
        ]
    return "\n".join(lines) + "\n"
