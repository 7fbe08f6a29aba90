"""Small readers of values that others wrote. All raise Malformed and nothing else."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from client.protocol import limits


class Malformed(Exception):
    """Something is not as docs/protocol.md says; the text names the field, never its value."""


def unpadded(data: bytes) -> str:
    """Standard base64 without "="."""
    return base64.b64encode(data).decode().rstrip("=")


def from_unpadded(text: str, length: int) -> bytes:
    """ValueError unless it is unpadded standard base64 of `length` bytes."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise ValueError("not base64") from None
    if len(data) != length or unpadded(data) != text:
        raise ValueError(f"not {length} bytes of base64")
    return data


def mapping(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Malformed(f"{what} is no object")
    return value


def sequence(value: object, what: str, most: int) -> Sequence[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise Malformed(f"{what} is no list of at most {most}")
    return value


def text(value: object, what: str, most: int = limits.ID_MAX, least: int = 1) -> str:
    if not isinstance(value, str) or not least <= len(value) <= most:
        raise Malformed(f"{what} is no text of {least} to {most} characters")
    return value


def boolean(value: object, what: str) -> bool:
    if not isinstance(value, bool):
        raise Malformed(f"{what} is neither true nor false")
    return value


def integer(value: object, what: str, least: int = 0, most: int = limits.SAFE_INTEGER) -> int:
    if type(value) is not int or not least <= value <= most:
        raise Malformed(f"{what} is no whole number from {least} to {most}")
    return value


def number(value: object, what: str, least: float, most: float) -> float:
    if type(value) not in (int, float) or not least <= value <= most:  # type: ignore[operator]
        raise Malformed(f"{what} is no number from {least} to {most}")
    return float(value)  # type: ignore[arg-type]


def binary(value: object, what: str, length: int) -> bytes:
    try:
        return from_unpadded(text(value, what, 4 * length), length)
    except ValueError:
        raise Malformed(f"{what} is not {length} bytes of base64") from None


def user_id(value: object, what: str) -> str:
    found = text(value, what)
    if not found.startswith("@") or ":" not in found:
        raise Malformed(f"{what} is no Matrix id")
    return found


def member(value: object, what: str = "member") -> int:
    return integer(value, what, 1, limits.MEMBER_NUMBER_MAX)
