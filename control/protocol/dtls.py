"""DTLS 1.2, server side (RFC 6347, RFC 5764), as a machine without sockets or clock over memory BIOs.

One DtlsServer is one member's connection. Datagrams go in, datagrams and events come out; time is an
argument. The keys of SRTP exist only after the peer's certificate matched a fingerprint of its offer.
OpenSSL's own retransmission timer reads the clock, so it is not used: the last flight is kept here and sent
again as `now` says.
"""

import contextlib
import hmac
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from OpenSSL import SSL, crypto

from control.protocol import limits
from control.protocol.dtls_identity import PROFILES, DtlsIdentity
from control.protocol.dtls_records import (
    is_application_data,
    pack_datagrams,
    records_untrusted,
    useful_records_untrusted,
)
from control.protocol.rows import HopKeys, SrtpProfile
from control.protocol.sdp_values import Fingerprint

__all__ = ["AppData", "Closed", "DtlsIdentity", "DtlsServer", "Event", "Failed", "HandshakeDone"]

# Digests a certificate may be named by (RFC 8122 section 5; weaker ones are not believed): OpenSSL's names.
DIGESTS: Final = {"sha-256": "sha256", "sha-384": "sha384", "sha-512": "sha512"}
_READ: Final = 65536
"""Bytes asked of OpenSSL at once; fewer mean that there are no more."""
_EXPORTER: Final = b"EXTRACTOR-dtls_srtp"  # RFC 5764 4.2


@dataclass(frozen=True, slots=True)
class HandshakeDone:
    """The peer is who its offer said. The first event of a connection that works."""

    profile: SrtpProfile
    client_key: bytes = field(repr=False)  # what the peer protects with
    client_salt: bytes = field(repr=False)
    server_key: bytes = field(repr=False)  # what we protect with
    server_salt: bytes = field(repr=False)

    @property
    def hop_keys(self) -> HopKeys:
        return HopKeys(self.profile, self.client_key, self.client_salt, self.server_key, self.server_salt)


@dataclass(frozen=True, slots=True)
class AppData:
    """The plaintext of one record: one SCTP packet."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Closed:
    """The peer said goodbye. The last event."""


@dataclass(frozen=True, slots=True)
class Failed:
    """There is no connection and will be none. The last event."""

    code: str  # "dtls_timeout", "dtls_fingerprint", "dtls_profile" or "dtls_error"


Event = HandshakeDone | AppData | Closed | Failed


class DtlsServer:
    """One connection. After every call take all events and all datagrams."""

    def __init__(self, identity: DtlsIdentity, fingerprints: Iterable[Fingerprint]) -> None:
        self.dropped = 0  # datagrams that were of no use, whole or in part
        self._context = identity.context
        self._fingerprints = tuple(each for each in fingerprints if each.algorithm in DIGESTS)
        self._ssl = self._fresh()
        self._connected = False
        self._ended = False
        self._events: deque[Event] = deque()
        self._out: deque[bytes] = deque()
        self._flight: list[bytes] = []
        self._sequence = 0  # of the next record of epoch 0
        self._deadline: float | None = None  # of the handshake
        self._retransmit_at: float | None = None
        self._retransmit_wait = limits.DTLS_RETRANSMIT_FIRST
        self._restarts = float(limits.DTLS_RESTART_BURST)
        self._restarted_at: float | None = None

    @property
    def connected(self) -> bool:
        """Handshake done, fingerprint checked, not closed."""
        return self._connected and not self._ended

    def receive_untrusted(self, datagram: bytes, now: float) -> None:
        """Take one datagram from the peer's authenticated address. Never raises; rubbish is dropped."""
        if self._ended:
            return
        if self._connected and len(datagram) <= limits.DTLS_MAX_DATAGRAM and is_application_data(datagram):
            # OpenSSL has one thing to read in it, and nothing to say to it.
            self._ssl.bio_write(datagram)
            self._read_record()
            return
        records = b"".join(useful_records_untrusted(datagram))
        if len(records) != len(datagram):
            self.dropped += 1
        if not records:
            return
        if self._deadline is None:
            self._deadline = now + limits.DTLS_HANDSHAKE_TIMEOUT
        if not self._connected and not self._may_start(now):
            self.dropped += 1
            return
        if self._connected:
            self._ssl.bio_write(records)
        else:
            self._shake_hands(records, now)
        if self.connected:
            self._read()
            self._flush()

    def next_event(self) -> Event | None:
        """The oldest event not yet taken."""
        return self._events.popleft() if self._events else None

    def datagrams_to_send(self) -> list[bytes]:
        """All datagrams made since the last call, in order."""
        if not self._out:
            return []
        datagrams = list(self._out)
        self._out.clear()
        return datagrams

    def send(self, data: bytes) -> bool:
        """Encrypt one SCTP packet into one datagram. False when there is no connection to send on."""
        if not self.connected or not 0 < len(data) <= limits.DTLS_MAX_PLAINTEXT:
            return False
        try:
            self._ssl.send(data)
        except SSL.Error:
            self._end(Failed("dtls_error"))
            return False
        self._flush()
        return True

    def next_timeout(self, now: float) -> float | None:
        """When handle_timeout wants to be called; None when never. May lie in the past."""
        if self._connected or self._ended or self._deadline is None:
            return None
        return self._deadline if self._retransmit_at is None else min(self._deadline, self._retransmit_at)

    def handle_timeout(self, now: float) -> None:
        """Send the last flight again, or give the handshake up. Calling it too early does nothing."""
        if self._connected or self._ended or self._deadline is None:
            return
        if now >= self._deadline:
            self._end(Failed("dtls_timeout"))
        elif self._retransmit_at is not None and now >= self._retransmit_at:
            self._queue([self._renumber(datagram) for datagram in self._flight])
            self._retransmit_wait = min(2 * self._retransmit_wait, limits.DTLS_RETRANSMIT_LONGEST)
            self._retransmit_at = now + self._retransmit_wait

    def close(self, silent: bool) -> None:
        """End the connection, unless silent with a close_notify alert.

        A stopping control is silent: members keep their media and resume; an alert would end their calls.
        """
        if self.connected and not silent:
            with contextlib.suppress(SSL.Error):
                self._ssl.shutdown()
            self._flush()
        self._ended = True

    # -- inside --

    def _fresh(self) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        connection.set_ciphertext_mtu(limits.DTLS_FLIGHT_MTU)
        connection.set_accept_state()
        self._untouched = True
        return connection

    def _may_start(self, now: float) -> bool:
        """Whether a ClientHello that turns out unusable could be paid for."""
        if self._restarted_at is not None:
            gained = (now - self._restarted_at) * limits.DTLS_RESTARTS_PER_SECOND
            self._restarts = min(self._restarts + max(0.0, gained), float(limits.DTLS_RESTART_BURST))
            self._restarted_at = now
        return self._restarts >= 1

    def _shake_hands(self, records: bytes, now: float) -> None:
        """Carry the handshake on with one datagram.

        An error means that somebody wrote rubbish, perhaps not the peer: begin anew, without the alert that
        OpenSSL made, because it would end the true peer's attempt. The rubbish may be what came before, so
        the datagram gets one try on its own. The deadline stays.
        """
        while True:
            alone, self._untouched = self._untouched, False
            self._ssl.bio_write(records)
            try:
                self._ssl.do_handshake()
            except SSL.WantReadError:
                self._flight_made(now)
                return
            except SSL.Error:
                self._restarts -= 1
                self._restarted_at = now
                self._ssl = self._fresh()
                self._flight = []
                self._retransmit_at = None
                if alone or self._restarts < 1:
                    self.dropped += 1
                    return
            else:
                self._flight_made(now)
                self._check_peer()
                return

    def _flight_made(self, now: float) -> None:
        """Send what the handshake made and keep it for repetition."""
        if flight := self._take():
            self._flight = flight
            self._queue(flight)
            self._retransmit_wait = limits.DTLS_RETRANSMIT_FIRST
            self._retransmit_at = now + self._retransmit_wait

    def _check_peer(self) -> None:
        """The only way to the keys: the certificate is one the offer named, the profile one of ours."""
        certificate = self._ssl.get_peer_certificate()
        if certificate is None or not any(_matches(certificate, each) for each in self._fingerprints):
            self._refuse("dtls_fingerprint")
            return
        name = self._ssl.get_selected_srtp_profile()
        chosen = next((each for each in PROFILES if each.openssl_name == name), None)
        if chosen is None:
            self._refuse("dtls_profile")
            return
        key, salt = chosen.key_size, chosen.salt_size
        try:
            material = self._ssl.export_keying_material(_EXPORTER, 2 * (key + salt))
        except SSL.Error:
            self._refuse("dtls_error")
            return
        self._connected = True
        self._retransmit_at = None
        self._emit(
            HandshakeDone(
                profile=chosen.profile,
                client_key=material[:key],
                server_key=material[key : 2 * key],
                client_salt=material[2 * key : 2 * key + salt],
                server_salt=material[2 * key + salt :],
            )
        )

    def _refuse(self, code: str) -> None:
        with contextlib.suppress(SSL.Error):
            self._ssl.shutdown()
        self._flush()
        self._end(Failed(code))

    def _read(self) -> None:
        """All records of the datagram just written."""
        while not self._ended and self._read_record():
            pass

    def _read_record(self) -> bool:
        """The next one that says something; False when there is none."""
        try:
            data = self._ssl.recv(limits.DTLS_MAX_PLAINTEXT)
        except SSL.WantReadError:
            return False
        except SSL.ZeroReturnError:
            self._end(Closed())
        except SSL.Error:
            # Unauthenticated records never get here, so this is the peer's own fatal alert or nonsense.
            self._end(Failed("dtls_error"))
        else:
            self._emit(AppData(data))
        return True

    def _end(self, event: Closed | Failed) -> None:
        self._ended = True
        self._emit(event)

    def _emit(self, event: Event) -> None:
        if isinstance(event, AppData) and len(self._events) >= limits.DTLS_MAX_EVENTS:
            self.dropped += 1
            return
        self._events.append(event)

    def _take(self) -> list[bytes]:
        """What OpenSSL wrote, as datagrams: a memory BIO glues records together."""
        made = b""
        while True:
            try:
                part = self._ssl.bio_read(_READ)
            except SSL.Error:
                break
            made += part
            if len(part) < _READ:
                break
        if is_application_data(made):
            return [made]
        return [self._renumber(datagram) for datagram in pack_datagrams(made)]

    def _renumber(self, datagram: bytes) -> bytes:
        """Number the records of epoch 0 here, where nothing authenticates the number: one that is sent again
        needs a new one, because the peer may have seen the old one too early and drop it now as a replay."""
        numbered = b""
        for record in records_untrusted(datagram):
            if record[3:5] == b"\0\0":
                record = record[:5] + self._sequence.to_bytes(6, "big") + record[11:]
                self._sequence += 1
            numbered += record
        return numbered

    def _flush(self) -> None:
        self._queue(self._take())

    def _queue(self, datagrams: list[bytes]) -> None:
        self._out.extend(datagrams)
        while len(self._out) > limits.DTLS_MAX_DATAGRAMS:
            self._out.popleft()
            self.dropped += 1


def _matches(certificate: crypto.X509, fingerprint: Fingerprint) -> bool:
    """Compare over the bytes as they came: OpenSSL hashes them without understanding them."""
    digest = bytes.fromhex(certificate.digest(DIGESTS[fingerprint.algorithm]).decode().replace(":", ""))
    return hmac.compare_digest(digest, fingerprint.digest)
