"""A call's name for people. Both ends make it of the call's id: it is there even where no answer came."""

from functools import lru_cache
from hashlib import sha256
from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no I, L, O and U, which are misheard and misread."""
LENGTH: Final = 6
"""30 bits. More: longer to read out. Fewer: two of the calls that are remembered share one."""


@lru_cache(maxsize=256)  # a join asks four times
def reference(call_id: str) -> str:
    """As it is shown and logged, such as "K7M-2QX" (docs/protocol.md section 3)."""
    bits = int.from_bytes(sha256(call_id.encode()).digest()[:4]) >> 2
    text = "".join(ALPHABET[bits >> shift & 31] for shift in range(25, -1, -5))
    return f"{text[:3]}-{text[3:]}"


def read_reference(text: str) -> str | None:
    """What somebody typed, in the form above; None for what is none."""
    plain = text.strip().upper().replace("-", "").replace(" ", "")
    plain = plain.replace("O", "0").replace("I", "1").replace("L", "1")
    if len(plain) != LENGTH or any(letter not in ALPHABET for letter in plain):
        return None
    return f"{plain[:3]}-{plain[3:]}"
