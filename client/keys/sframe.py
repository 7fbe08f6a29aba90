"""SFrame (RFC 9605), suite AES_128_GCM_SHA256_128 (4): header, keys of a KID, one frame sealed or opened."""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from client.protocol import names

SUITE = 4
KEY_BYTES, NONCE_BYTES, TAG_BYTES, HASH_BYTES = 16, 12, 16, 32
COUNTER_MAX = 2**64 - 1


class SframeError(Exception):
    """These bytes are no SFrame, or the key does not open them."""


def _field(value: int) -> tuple[int, bytes]:
    """Four bits of the config byte (RFC 9605 section 4.3) and what follows it."""
    if value < 8:
        return value, b""
    length = (value.bit_length() + 7) // 8
    return 8 | length - 1, value.to_bytes(length, "big")


def write_header(kid: int, counter: int) -> bytes:
    """ValueError where one of them has more than 64 bits."""
    if not (0 <= kid <= COUNTER_MAX and 0 <= counter <= COUNTER_MAX):
        raise ValueError("KID and counter have 64 bits")
    (kid_bits, kid_bytes), (counter_bits, counter_bytes) = _field(kid), _field(counter)
    return bytes((kid_bits << 4 | counter_bits,)) + kid_bytes + counter_bytes


def read_header_untrusted(data: bytes) -> tuple[int, int, int]:
    """KID, counter and length of the header; SframeError when the bytes end too early."""
    if not data:
        raise SframeError("empty")
    at = 1
    values = []
    for bits in (data[0] >> 4, data[0] & 15):
        if bits & 8:
            end = at + (bits & 7) + 1
            if end > len(data):
                raise SframeError("cut in its header")
            values.append(int.from_bytes(data[at:end], "big"))
            at = end
        else:
            values.append(bits)
    return values[0], values[1], at


def _extract(base_key: bytes) -> bytes:
    """HKDF-Extract with an empty salt (RFC 5869 section 2.2)."""
    mac = HMAC(b"\0" * HASH_BYTES, hashes.SHA256())
    mac.update(base_key)
    return mac.finalize()


def ratchet(base_key: bytes) -> bytes:
    """The key of the next step (RFC 9605 section 5.1)."""
    return HKDFExpand(hashes.SHA256(), KEY_BYTES, names.RATCHET_LABEL).derive(_extract(base_key))


class KeyOfKid:
    """Key and salt that RFC 9605 section 4.4.2 derives from a base key for one KID."""

    def __init__(self, base_key: bytes, kid: int) -> None:
        self.kid = kid
        secret = _extract(base_key)
        tail = kid.to_bytes(8, "big") + SUITE.to_bytes(2, "big")

        def expand(label: bytes, length: int) -> bytes:
            return HKDFExpand(hashes.SHA256(), length, label + tail).derive(secret)

        self._aead = AESGCM(expand(b"SFrame 1.0 Secret key ", KEY_BYTES))
        self._salt = int.from_bytes(expand(b"SFrame 1.0 Secret salt ", NONCE_BYTES), "big")

    def _nonce(self, counter: int) -> bytes:
        return (self._salt ^ counter).to_bytes(NONCE_BYTES, "big")

    def seal(self, counter: int, metadata: bytes, plaintext: bytes) -> bytes:
        """Header, ciphertext and tag. A counter may be used once only: the caller sees to it."""
        header = write_header(self.kid, counter)
        return header + self._aead.encrypt(self._nonce(counter), plaintext, header + metadata)

    def open_untrusted(self, counter: int, header: bytes, metadata: bytes, ciphertext: bytes) -> bytes:
        """SframeError when it was not sealed with this key over this header and metadata."""
        if len(ciphertext) < TAG_BYTES:
            raise SframeError("shorter than a tag")
        try:
            return self._aead.decrypt(self._nonce(counter), ciphertext, header + metadata)
        except InvalidTag:
            raise SframeError("not sealed with this key") from None
