"""Resume tokens: who holds one may bring a member a second connection (docs/protocol.md 3.3).

The focus keeps hashes only. A token names its conference and member, so that it is compared with that
member's hashes alone, in constant time.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Final, NamedTuple

from control.protocol import limits

_TOKEN: Final = re.compile(r"([0-9]{1,10})\.([0-9]{1,5})\.[A-Za-z0-9_-]{16,64}", re.ASCII)


class Bearer(NamedTuple):
    """Whose a token says it is."""

    conference: int
    member: int


class Tokens:
    """Of one member: the newest, and the one before until the member is known to have the newest."""

    def __init__(self, hashes: tuple[bytes, ...] = ()) -> None:
        self.hashes = hashes

    def renew(self, bearer: Bearer, random_bytes: Callable[[int], bytes]) -> str:
        """A new one, to be told to the member over its channel."""
        secret = base64.urlsafe_b64encode(random_bytes(limits.RESUME_TOKEN_BYTES)).decode().rstrip("=")
        token = f"{bearer.conference}.{bearer.member}.{secret}"
        self.hashes = (*self.hashes[-1:], _hash(token))
        return token

    def received(self) -> None:
        """The member has the newest one: the one before is spent."""
        self.hashes = self.hashes[-1:]

    def admit(self, token: str) -> bool:
        presented = _hash(token)
        found = [hmac.compare_digest(presented, each) for each in self.hashes]
        return any(found)


def bearer_untrusted(token: str) -> Bearer | None:
    """None when it is none of ours."""
    found = _TOKEN.fullmatch(token)
    return None if found is None else Bearer(int(found[1]), int(found[2]))


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
