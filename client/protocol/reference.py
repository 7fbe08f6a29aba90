"""A call's number for people (docs/protocol.md section 3): whoever runs the server finds the call by it."""

from hashlib import sha256

# Crockford's base 32: no I, L, O and U, which are misheard and misread.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def reference(call_id: str) -> str:
    """Such as "K7M-2QX": the first 30 bits of the SHA-256 of the call's id."""
    bits = int.from_bytes(sha256(call_id.encode()).digest()[:4]) >> 2
    text = "".join(_ALPHABET[bits >> shift & 31] for shift in range(25, -1, -5))
    return f"{text[:3]}-{text[3:]}"
