"""OpenSSL's own DTLS client over memory BIOs, driven by hand: no socket, and time only as the test says."""

from collections.abc import Iterator
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from control.protocol.dtls import DtlsServer
from control.protocol.sdp import Fingerprint

ALL_PROFILES = b"SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_256_GCM:SRTP_AEAD_AES_128_GCM"
_HASHES = {"sha-1": hashes.SHA1, "sha-256": hashes.SHA256, "sha-384": hashes.SHA384, "sha-512": hashes.SHA512}


class DtlsClient:
    """The member's side. `mtu` makes it fragment its messages."""

    def __init__(
        self,
        profiles: bytes = ALL_PROFILES,
        mtu: int = 1200,
        with_certificate: bool = True,
        long_hello: bool = False,
    ) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "member")])
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime(2000, 1, 1, tzinfo=UTC))
            .not_valid_after(datetime(2100, 1, 1, tzinfo=UTC))
            .sign(key, hashes.SHA256())
        )
        context = SSL.Context(SSL.DTLS_CLIENT_METHOD)
        if with_certificate:
            context.use_certificate(self.certificate)
            context.use_privatekey(key)
        if profiles:
            context.set_tlsext_use_srtp(profiles)
        context.set_verify(SSL.VERIFY_NONE, lambda *_: True)
        context.set_options(SSL.OP_NO_QUERY_MTU)
        self.ssl = SSL.Connection(context, None)
        self.ssl.set_ciphertext_mtu(mtu)
        if long_hello:  # as long as the post-quantum key shares of today's browsers make theirs
            self.ssl.set_alpn_protos([bytes([97 + n]) * 200 for n in range(6)])
        self.ssl.set_connect_state()
        self.connected = False
        self.failed = False
        self.closed = False
        self.received: list[bytes] = []
        self.flight: list[bytes] = []
        self.sequence = 0

    def fingerprint(self, algorithm: str = "sha-256") -> Fingerprint:
        return Fingerprint(algorithm, self.certificate.fingerprint(_HASHES[algorithm]()))

    def step(self, datagram: bytes = b"") -> list[bytes]:
        """Take a datagram (or start); return what to send, one datagram per record."""
        if datagram:
            self.ssl.bio_write(datagram)
        try:
            if not self.connected:
                self.ssl.do_handshake()
                self.connected = True
            while True:
                self.received.append(self.ssl.recv(16384))
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.closed = True
        except SSL.Error:
            self.failed = True
        made = self.take()
        if made:
            self.flight = made
        return made

    def send(self, data: bytes) -> list[bytes]:
        self.ssl.send(data)
        return self.take()

    def take(self) -> list[bytes]:
        made = b""
        while True:
            try:
                made += self.ssl.bio_read(65536)
            except SSL.Error:
                return [self._renumber(record) for record in split_records(made)]

    def again(self) -> list[bytes]:
        """The last flight once more, as a retransmission is numbered (RFC 6347 4.2.4)."""
        return [self._renumber(record) for record in self.flight]

    def _renumber(self, record: bytes) -> bytes:
        if record[3:5] != b"\0\0":
            return record
        self.sequence += 1
        return record[:5] + self.sequence.to_bytes(6, "big") + record[11:]


def split_records(data: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        end = start + 13 + int.from_bytes(data[start + 11 : start + 13], "big")
        yield data[start:end]
        start = end


def handshake(
    client: DtlsClient,
    server: DtlsServer,
    to_server: list[bool] = [],  # noqa: B006
    to_client: list[bool] = [],  # noqa: B006
    start: float = 0.0,
) -> float:
    """Connect both over a link and return the time at the end.

    The n-th datagram of a direction arrives if its list says so; after the list's end all do. Every 0.25 s in
    which nothing is under way the client repeats its last flight. Ends when the server is connected.
    """
    now = start
    arrives = {"server": iter(to_server), "client": iter(to_client)}
    up = client.step() or client.again()
    for _ in range(100):
        while up:
            down: list[bytes] = []
            for datagram in up:
                if next(arrives["server"], True):
                    server.receive_untrusted(datagram, now)
                    down += server.datagrams_to_send()
            up = []
            for datagram in down:
                if next(arrives["client"], True):
                    up += client.step(datagram)
        if client.failed or server.connected or now - start > 20.0:
            break
        now += 0.25
        server.handle_timeout(now)
        for datagram in server.datagrams_to_send():
            if next(arrives["client"], True):
                up += client.step(datagram)
        up = up or client.again()
    return now
