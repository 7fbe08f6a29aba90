"""Small checks over JSON that came from outside. One way to fail: ContentError."""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from control.protocol import limits
from control.protocol.names import INVITE_MALFORMED

_IDENTIFIER: Final = re.compile(r"[!-~]+", re.ASCII)
_USER_ID: Final = re.compile(r"@[!-9;-~]*:[!-~]+", re.ASCII)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]*", re.ASCII)
SAFE_INTEGER: Final = 2**53 - 1


class ContentError(Exception):
    """The one way in which content from outside fails.

    `code` is one of names.py, `message` a sentence for a person.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def malformed(message: str) -> ContentError:
    return ContentError(INVITE_MALFORMED, message)


def mapping(value: object, what: str) -> Mapping[str, Any]:
    """A JSON object."""
    if not isinstance(value, Mapping):
        raise malformed(f"{what} is missing or not an object.")
    return value


def sequence(value: object, what: str, most: int) -> Sequence[Any]:
    """A JSON array of at most `most` elements."""
    if not isinstance(value, list | tuple):
        raise malformed(f"{what} is missing or not a list.")
    if len(value) > most:
        raise ContentError("too_large", f"{what} has more than {most} entries.")
    return value


def text(value: object, what: str, most: int) -> str:
    """A string of at most `most` characters, empty allowed."""
    if not isinstance(value, str):
        raise malformed(f"{what} is missing or not a text.")
    if len(value) > most:
        raise ContentError("too_large", f"{what} is longer than {most} characters.")
    return value


def identifier(value: object, what: str) -> str:
    """1 to 255 visible ASCII characters: nothing that could break a line, a log or a proof's text."""
    found = text(value, what, limits.ID_MAX)
    if not _IDENTIFIER.fullmatch(found):
        raise malformed(f"{what} is empty or has characters it may not have.")
    return found


def user_id(value: object, what: str) -> str:
    """A Matrix user id."""
    found = identifier(value, what)
    if not _USER_ID.fullmatch(found):
        raise malformed(f"{what} is not a Matrix user id.")
    return found


def integer(value: object, what: str, low: int, high: int) -> int:
    """A whole number; true, false and fractions are none."""
    if type(value) is not int or not low <= value <= high:
        raise malformed(f"{what} is not a whole number from {low} to {high}.")
    return value


def boolean(value: object, what: str) -> bool:
    if not isinstance(value, bool):
        raise malformed(f"{what} is neither true nor false.")
    return value


def binary(value: object, what: str, size: int) -> bytes:
    """`size` bytes in standard base64, padding optional."""
    # 4 characters for 3 bytes, so a longer text cannot be right and need not be decoded.
    found = text(value, what, 4 * ((size + 2) // 3)).rstrip("=")
    try:
        decoded = (
            base64.b64decode(found + "=" * (-len(found) % 4), validate=True)
            if _BASE64.fullmatch(found)
            else b""
        )
    except binascii.Error:
        decoded = b""
    if len(decoded) != size:
        raise malformed(f"{what} is not {size} bytes in base64.")
    return decoded
