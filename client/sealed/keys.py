"""Keys of the inner encryption, from the base key of a source (docs/protocol.md section 11.3)."""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from client.keys.kid import EPOCHS, STEPS
from client.protocol import names

KEY_BYTES, SALT_BYTES, TAG_BYTES, KEY_ID_BYTES = 16, 12, 16, 3


class SealedError(Exception):
    """These bytes are no sealed packet, or the key does not open them."""


def master_of(base_key: bytes, kid: int) -> tuple[bytes, bytes]:
    """Master key and master salt of the inner SRTP."""

    def derived(label: bytes, length: int) -> bytes:
        info = label + kid.to_bytes(8, "big")
        return HKDF(hashes.SHA256(), length, None, info).derive(base_key)

    return derived(names.SEALED_KEY_LABEL, KEY_BYTES), derived(names.SEALED_SALT_LABEL, SALT_BYTES)


def session_of(master_key: bytes, master_salt: bytes) -> tuple[bytes, bytes]:
    """Session key and salt: RFC 3711 section 4.3 with AES-CM, a key derivation rate of 0, and a salt of 96
    bits (RFC 7714 section 11)."""

    def stream(label: int, length: int) -> bytes:
        block = bytearray(master_salt + bytes(16 - len(master_salt)))
        block[7] ^= label
        encryptor = Cipher(algorithms.AES(master_key), modes.CTR(bytes(block))).encryptor()
        return encryptor.update(bytes(length))

    return stream(0, KEY_BYTES), stream(2, SALT_BYTES)


def key_id(source: int, epoch: int, step: int) -> bytes:
    """The three bytes behind each tag: the KID without its member."""
    return (source << 20 | epoch % EPOCHS << 8 | step % STEPS).to_bytes(KEY_ID_BYTES, "big")


def split_key_id(data: bytes) -> tuple[int, int, int]:
    """Source, epoch modulo 4096, step modulo 256."""
    value = int.from_bytes(data, "big")
    return value >> 20, value >> 8 & 0xFFF, value & 0xFF


class InnerKey:
    """Of one KID. `index` is rollover counter << 16 | sequence number; AEAD_AES_128_GCM of RFC 7714."""

    def __init__(self, base_key: bytes, kid: int) -> None:
        key, self._salt = session_of(*master_of(base_key, kid))
        self._cipher = AESGCM(key)

    def seal(self, header: bytes, ssrc: int, index: int, payload: bytes) -> bytes:
        """Ciphertext and tag. Never twice for one SSRC and index: the caller sees to that."""
        return self._cipher.encrypt(self._nonce(ssrc, index), payload, header)

    def open_untrusted(self, header: bytes, ssrc: int, index: int, sealed: bytes) -> bytes:
        """SealedError unless the tag is right."""
        try:
            return self._cipher.decrypt(self._nonce(ssrc, index), sealed, header)
        except InvalidTag:
            raise SealedError("the tag is wrong") from None

    def _nonce(self, ssrc: int, index: int) -> bytes:
        plain = bytes(2) + ssrc.to_bytes(4, "big") + index.to_bytes(6, "big")
        return bytes(one ^ other for one, other in zip(plain, self._salt, strict=True))
