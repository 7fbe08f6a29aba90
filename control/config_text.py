"""The text of a configuration file: where something stands in it, and what a wrong word may have meant."""

import re
from collections.abc import Mapping
from typing import Any


def host_and_port(text: str) -> tuple[str, int]:
    """Of "host:port", IPv6 in brackets; ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(text)
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1], int(port)
    if ":" in host:
        raise ValueError(text)
    return host, int(port)


def line_of(text: str, section: str, option: str) -> int:
    """Where an option stands, or else its section, or else the last line: what is missing belongs there."""
    current, found = "", 0
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if header := re.match(r"\s*\[+\s*\"?([\w-]+)\"?", line):
            current = header[1]
            if current == section:
                found = number
        elif (key := re.match(r"\s*\"?([\w.-]+)\"?\s*=", line)) and option:
            if (current == section and key[1] == option) or (not current and key[1] == f"{section}.{option}"):
                return number
            if not section and key[1] == option:
                return number
    return found or max(len(lines), 1)


def nearest(name: str, known: Mapping[str, Any]) -> str:
    import difflib  # only when something is wrong

    close = difflib.get_close_matches(name, list(known), 1)
    return f" (did you mean {close[0]}?)" if close else ""
