"""Our end of DTLS: the certificate, the ciphers and SRTP profiles we agree to, as one OpenSSL context."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from control.protocol.rows import SrtpProfile
from control.protocol.sdp_values import Fingerprint


@dataclass(frozen=True, slots=True)
class Profile:
    """One of RFC 5764 4.1.2 or RFC 7714 14.2."""

    profile: SrtpProfile
    openssl_name: bytes
    key_size: int  # bytes
    salt_size: int


# In the order of preference: as DTLS server the choice is ours. GCM costs half of CM with SHA-1 per packet
# and the 128-bit key a little less than the 256-bit one.
PROFILES: Final = (
    Profile(SrtpProfile.AEAD_AES_128_GCM, b"SRTP_AEAD_AES_128_GCM", 16, 12),
    Profile(SrtpProfile.AEAD_AES_256_GCM, b"SRTP_AEAD_AES_256_GCM", 32, 12),
    Profile(SrtpProfile.AES128_CM_SHA1_80, b"SRTP_AES128_CM_SHA1_80", 16, 14),
)
# ECDSA because our certificate is; what browsers and OpenSSL's clients have in common with DTLS 1.2.
CIPHERS: Final = b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384"
_DTLS_1_2: Final = 0xFEFD


class DtlsIdentity:
    """Our certificate and the OpenSSL context made of it, shared by all connections of the process."""

    def __init__(self) -> None:
        # OpenSSL's own generator makes the key: of all randomness this may least be a caller's choice.
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "WebRTC")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            # The fingerprint in the signalling is what makes it valid; its dates mean nothing (RFC 8827 6.5),
            # so they are those of "no expiration" in RFC 5280 4.1.2.5 and need no clock.
            .not_valid_before(datetime(2000, 1, 1, tzinfo=UTC))
            .not_valid_after(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
            .sign(key, hashes.SHA256())
        )
        self.fingerprint = Fingerprint("sha-256", certificate.fingerprint(hashes.SHA256()))
        self.context = self._context(certificate, key)

    @staticmethod
    def _context(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> SSL.Context:
        context = SSL.Context(SSL.DTLS_SERVER_METHOD)
        context.set_min_proto_version(_DTLS_1_2)
        context.set_max_proto_version(_DTLS_1_2)
        # No resumption: a resumed handshake carries no certificate to check.
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_options(
            SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_QUERY_MTU | SSL.OP_CIPHER_SERVER_PREFERENCE
        )
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        # Any certificate may come, none may stay away; whose it is the fingerprint decides.
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        context.use_certificate(certificate)
        context.use_privatekey(key)
        context.set_cipher_list(CIPHERS)
        context.set_tlsext_use_srtp(b":".join(each.openssl_name for each in PROFILES))
        return context
