"""DTLS as server against OpenSSL's own client: loss as lists of booleans, strangers, rubbish, profiles."""

import os
import time
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from control.protocol import dtls, limits
from control.protocol.dtls import AppData, Closed, DtlsIdentity, DtlsServer, Failed, HandshakeDone
from control.protocol.dtls_records import pack_datagrams
from control.protocol.rows import SrtpProfile
from control.protocol.sdp import Fingerprint
from tests.protocol.dtls_client import ALL_PROFILES, DtlsClient, handshake, split_records

IDENTITY = DtlsIdentity()
T, F = True, False


def pair(**of_client: object) -> tuple[DtlsClient, DtlsServer]:
    client = DtlsClient(**of_client)  # type: ignore[arg-type]
    return client, DtlsServer(IDENTITY, [client.fingerprint()])


def connected() -> tuple[DtlsClient, DtlsServer]:
    client, server = pair()
    handshake(client, server)
    assert isinstance(server.next_event(), HandshakeDone)
    return client, server


def events(server: DtlsServer) -> list[dtls.Event]:
    found = []
    while (event := server.next_event()) is not None:
        found.append(event)
    return found


@pytest.mark.parametrize(
    ("offered", "chosen", "key", "salt"),
    [
        (ALL_PROFILES, SrtpProfile.AEAD_AES_128_GCM, 16, 12),
        (b"SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_256_GCM", SrtpProfile.AEAD_AES_256_GCM, 32, 12),
        (b"SRTP_AEAD_AES_128_GCM", SrtpProfile.AEAD_AES_128_GCM, 16, 12),
        (b"SRTP_AEAD_AES_256_GCM", SrtpProfile.AEAD_AES_256_GCM, 32, 12),
        (b"SRTP_AES128_CM_SHA1_80", SrtpProfile.AES128_CM_SHA1_80, 16, 14),
        (b"SRTP_AES128_CM_SHA1_32:SRTP_AES128_CM_SHA1_80", SrtpProfile.AES128_CM_SHA1_80, 16, 14),
    ],
)
def test_the_profile_is_ours_to_choose(offered: bytes, chosen: SrtpProfile, key: int, salt: int) -> None:
    client, server = pair(profiles=offered)
    handshake(client, server)
    done = server.next_event()
    assert isinstance(done, HandshakeDone)
    assert done.profile is chosen
    # RFC 5764 4.2: client key, server key, client salt, server salt.
    material = client.ssl.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * (key + salt))
    assert done.client_key + done.server_key + done.client_salt + done.server_salt == material
    assert (len(done.client_key), len(done.server_salt)) == (key, salt)
    assert done.hop_keys.rx_key == done.client_key
    assert done.hop_keys.tx_salt == done.server_salt


@pytest.mark.parametrize("profiles", [b"", b"SRTP_AES128_CM_SHA1_32"])
def test_without_a_common_profile_there_are_no_keys(profiles: bytes) -> None:
    client, server = pair(profiles=profiles)
    handshake(client, server)
    assert events(server) == [Failed("dtls_profile")]


def test_keys_are_not_printed() -> None:
    client, server = pair()
    handshake(client, server)
    done = server.next_event()
    assert isinstance(done, HandshakeDone)
    assert repr(done) == "HandshakeDone(profile=<SrtpProfile.AEAD_AES_128_GCM: 7>)"


# -- the certificate --


@pytest.mark.parametrize("algorithm", ["sha-256", "sha-384", "sha-512"])
def test_certificate_named_by_its_digest(algorithm: str) -> None:
    client = DtlsClient()
    server = DtlsServer(IDENTITY, [client.fingerprint(algorithm)])
    handshake(client, server)
    assert isinstance(server.next_event(), HandshakeDone)


def test_one_of_several_fingerprints_is_enough() -> None:
    client = DtlsClient()
    server = DtlsServer(IDENTITY, [Fingerprint("sha-256", bytes(32)), client.fingerprint("sha-512")])
    handshake(client, server)
    assert isinstance(server.next_event(), HandshakeDone)


@pytest.mark.parametrize(
    "fingerprints",
    [
        [],
        [Fingerprint("sha-256", bytes(32))],
        [DtlsClient().fingerprint()],
        [Fingerprint("sha-256", b"")],
    ],
)
def test_another_certificate_gets_no_keys_and_the_connection_ends(fingerprints: list[Fingerprint]) -> None:
    client = DtlsClient()
    server = DtlsServer(IDENTITY, fingerprints)
    handshake(client, server)
    assert events(server) == [Failed("dtls_fingerprint")]
    assert not server.connected
    assert not server.send(b"data")
    for datagram in client.send(b"data"):
        server.receive_untrusted(datagram, 1.0)
    assert events(server) == []
    assert server.next_timeout(1.0) is None


def test_a_weak_digest_is_not_believed() -> None:
    client = DtlsClient()
    server = DtlsServer(IDENTITY, [client.fingerprint("sha-1")])
    handshake(client, server)
    assert events(server) == [Failed("dtls_fingerprint")]


def test_no_certificate_never_connects() -> None:
    client, server = pair(with_certificate=False)
    now = handshake(client, server)
    server.handle_timeout(now + limits.DTLS_HANDSHAKE_TIMEOUT)
    assert events(server) == [Failed("dtls_timeout")]


# -- loss --


@pytest.mark.parametrize(
    ("to_server", "to_client", "latest"),
    [
        ([], [], 0.0),
        ([F], [], 0.25),  # ClientHello lost: nobody knows us yet, the client repeats
        ([], [F], 0.25),  # our ServerHello flight lost
        ([], [F, F, F], 1.75),  # three times: 0.25 + 0.5 + 1
        ([T, F], [], 0.25),  # the client's certificate lost
        ([T, T, F, F], [], 0.25),  # its key exchange and verification lost
        ([T, T, T, T, T, F], [], 0.25),  # its last message lost
        ([F, T, F, F], [F, F], 3.0),
    ],
)
def test_handshake_survives_loss(to_server: list[bool], to_client: list[bool], latest: float) -> None:
    client, server = pair()
    assert handshake(client, server, to_server, to_client) <= latest
    assert isinstance(server.next_event(), HandshakeDone)
    assert client.connected


def test_our_last_flight_is_made_again_when_the_client_repeats_its_own() -> None:
    client, server = pair()
    handshake(client, server, to_client=[T, F])
    assert server.connected
    assert not client.connected
    # The repetition must be OpenSSL's own here (a new record in epoch 1); its first timer is one real second.
    time.sleep(client.ssl.DTLSv1_get_timeout() or 0)
    client.ssl.DTLSv1_handle_timeout()
    answers = []
    for datagram in client.take():
        server.receive_untrusted(datagram, 1.0)
        answers += server.datagrams_to_send()
    for datagram in answers:
        client.step(datagram)
    assert client.connected
    for datagram in client.send(b"data"):
        server.receive_untrusted(datagram, 1.0)
    assert events(server)[1:] == [AppData(b"data")]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.booleans(), max_size=12),
    st.lists(st.booleans(), max_size=3),
    st.sampled_from([256, 400, 1200]),
)
def test_handshake_survives_any_loss(to_server: list[bool], to_client: list[bool], mtu: int) -> None:
    client, server = pair(mtu=mtu)
    handshake(client, server, to_server, to_client)
    assert isinstance(server.next_event(), HandshakeDone)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([256, 1200]))
def test_handshake_survives_reordering_and_duplicates(seed: int, mtu: int) -> None:
    random = Random(seed)
    client, server = pair(mtu=mtu)
    now = 0.0
    up = client.step()
    for _ in range(60):
        up = up + up[: random.randint(0, 2)]
        random.shuffle(up)
        down = []
        for datagram in up:
            server.receive_untrusted(datagram, now)
            down += server.datagrams_to_send()
        random.shuffle(down)
        up = [answer for datagram in down for answer in client.step(datagram)]
        if client.connected and server.connected:
            break
        now += 0.25
        server.handle_timeout(now)
        up += [answer for datagram in server.datagrams_to_send() for answer in client.step(datagram)]
        up = up or client.again()
    assert client.connected
    assert isinstance(server.next_event(), HandshakeDone)


@pytest.mark.parametrize("order", [1, -1])
def test_client_hello_over_several_datagrams(order: int) -> None:
    client, server = pair(long_hello=True)
    hello = client.step()
    assert len(hello) == 2
    assert len(hello[0]) == 1200
    for datagram in hello[::order]:
        assert server.datagrams_to_send() == []
        server.receive_untrusted(datagram, 0.0)
    assert server.datagrams_to_send() != []


def test_a_long_hello_connects() -> None:
    client, server = pair(long_hello=True)
    handshake(client, server, to_server=[F])
    assert isinstance(server.next_event(), HandshakeDone)


def test_retransmissions_back_off_and_end() -> None:
    client, server = pair()
    (hello,) = client.step()
    assert server.next_timeout(5.0) is None
    server.handle_timeout(5.0)
    server.receive_untrusted(hello, 10.0)
    flight = server.datagrams_to_send()
    times = []
    now = 10.0
    while (timeout := server.next_timeout(now)) is not None:
        now = timeout
        server.handle_timeout(now - 0.001)
        assert server.datagrams_to_send() == []
        server.handle_timeout(now)
        times.append(now - 10.0)
        if now < 25.0:
            repeated = server.datagrams_to_send()
            assert [len(each) for each in repeated] == [len(each) for each in flight]
            assert repeated != flight  # each record has a number of its own
    assert times == [0.25, 0.75, 1.75, 3.75, 5.75, 7.75, 9.75, 11.75, 13.75, 15.0]
    assert events(server) == [Failed("dtls_timeout")]


def test_a_datagram_never_holds_more_than_the_mtu_allows() -> None:
    def record(size: int) -> bytes:
        return b"\x16\xfe\xfd" + bytes(8) + (size - 13).to_bytes(2, "big") + bytes(size - 13)

    rows = [
        ([], []),
        ([100], [100]),
        ([100, 200, 300], [600]),
        ([600, 600], [1200]),
        ([600, 601], [600, 601]),
        ([1200, 13, 1200], [1200, 13, 1200]),
        ([500, 1000, 200], [500, 1200]),
        ([1226], [1226]),  # one long record goes alone
    ]
    for sizes, expected in rows:
        assert [len(each) for each in pack_datagrams(b"".join(map(record, sizes)))] == expected


# -- data --


def test_data_both_ways() -> None:
    client, server = connected()
    for datagram in client.send(b"ping"):
        server.receive_untrusted(datagram, 1.0)
    assert events(server) == [AppData(b"ping")]
    assert server.send(b"pong" * 290)
    (datagram,) = server.datagrams_to_send()
    client.step(datagram)
    assert client.received == [b"pong" * 290]


def test_several_records_in_one_datagram() -> None:
    client, server = connected()
    server.receive_untrusted(b"".join(client.send(b"one") + client.send(b"two")), 1.0)
    assert events(server) == [AppData(b"one"), AppData(b"two")]


def test_each_record_is_a_datagram_of_its_own_when_sending() -> None:
    _, server = connected()
    assert server.send(b"one" * 300)
    assert server.send(b"two" * 300)
    assert len(server.datagrams_to_send()) == 2
    assert not server.send(b"")
    assert not server.send(bytes(limits.DTLS_MAX_PLAINTEXT + 1))


def test_data_with_the_last_flight_is_not_lost() -> None:
    """The client may send as soon as it is done, and its data may come in the datagram that completes us."""
    client, server = pair()
    up = client.step()
    while not client.connected:
        down = []
        for datagram in up:
            server.receive_untrusted(datagram, 0.0)
            down += server.datagrams_to_send()
        up = [answer for datagram in down for answer in client.step(datagram)]
    for datagram in client.send(b"early"):
        server.receive_untrusted(datagram, 0.0)
    done, data = events(server)
    assert isinstance(done, HandshakeDone)
    assert data == AppData(b"early")


def test_replayed_data_comes_once() -> None:
    client, server = connected()
    (datagram,) = client.send(b"once")
    for _ in range(5):
        server.receive_untrusted(datagram, 1.0)
    assert events(server) == [AppData(b"once")]


# -- the end --


def test_a_silent_close_sends_nothing() -> None:
    client, server = connected()
    server.datagrams_to_send()
    server.close(silent=True)
    assert server.datagrams_to_send() == []
    assert not server.send(b"more")
    assert not client.closed


def test_a_close_tells_the_peer() -> None:
    client, server = connected()
    server.datagrams_to_send()
    server.close(silent=False)
    (alert,) = server.datagrams_to_send()
    client.step(alert)
    assert client.closed
    server.close(silent=False)
    assert server.datagrams_to_send() == []


def test_the_peer_says_goodbye() -> None:
    client, server = connected()
    client.ssl.shutdown()
    for datagram in client.take():
        server.receive_untrusted(datagram, 1.0)
    assert events(server) == [Closed()]
    assert not server.connected


def test_closing_before_the_handshake_sends_nothing() -> None:
    client, server = pair()
    for datagram in client.step():
        server.receive_untrusted(datagram, 0.0)
    server.datagrams_to_send()
    server.close(silent=False)
    assert server.datagrams_to_send() == []
    assert server.next_timeout(0.0) is None


# -- rubbish --


def garbage(length: int) -> list[bytes]:
    """Some datagrams of one length that look more and more like DTLS."""
    noise = os.urandom(length)
    body = max(0, length - 13)
    header = b"\x16\xfe\xfd\0\0" + bytes(6) + body.to_bytes(2, "big")
    shapes = [noise, bytes(length), b"\xff" * length, header + noise[:body], header + bytes(body)]
    # A handshake message of each kind with a wrong length, and an unauthenticated alert and close.
    shapes += [header + bytes([kind]) + noise[: max(0, body - 1)] for kind in (1, 11, 16, 20)]
    shapes += [
        b"\x15\xfe\xfd\0\0" + bytes(6) + b"\0\x02\x02\x28",
        b"\x15\xfe\xfd\0\0" + bytes(6) + b"\0\x02\x01\0",
    ]
    shapes += [bytes([kind]) + noise[1:] for kind in (20, 22, 23, 63)]
    return [shape[:length] for shape in shapes]


LENGTHS = [
    *range(1501),
    *range(1501, 2100, 97),
    limits.DTLS_MAX_DATAGRAM,
    limits.DTLS_MAX_DATAGRAM + 1,
    65507,
]


@pytest.mark.parametrize("part", range(8))
def test_garbage_of_every_length_tears_nothing_down(part: int) -> None:
    """Before the handshake and after it, from the right address."""
    client, server = pair()
    now = 0.0
    for length in LENGTHS[part::8]:
        for datagram in garbage(length):
            now += 0.001
            server.receive_untrusted(datagram, now)
    assert events(server) == []
    server.datagrams_to_send()
    now += 1.0  # a flood may use up the fresh starts; they come back
    handshake(client, server, start=now)
    assert isinstance(server.next_event(), HandshakeDone)
    for length in LENGTHS[part::8]:
        for datagram in garbage(length):
            server.receive_untrusted(datagram, now)
    assert events(server) == []
    assert server.datagrams_to_send() == []
    (datagram,) = client.send(b"still here")
    server.receive_untrusted(datagram, now)
    assert events(server) == [AppData(b"still here")]


def forge(hello: bytes) -> bytes:
    """The same ClientHello with NULL as its only cipher, which no server takes."""
    session_end = 13 + 12 + 2 + 32 + 1 + hello[13 + 12 + 34]
    ciphers = session_end + 1 + hello[session_end]
    count = int.from_bytes(hello[ciphers : ciphers + 2], "big")
    return hello[: ciphers + 2] + b"\0\0" * (count // 2) + hello[ciphers + 2 + count :]


def test_a_forged_hello_before_the_true_one_costs_nothing() -> None:
    """The ClientHello race (CVE-2023-49786 and others): a hello without a usable cipher must end nothing."""
    client, server = pair()
    (hello,) = client.step()
    for _ in range(3):
        server.receive_untrusted(forge(hello), 0.0)
    assert server.datagrams_to_send() == []  # no alert to anybody
    assert server.dropped == 3
    assert handshake(client, server) == 0.0
    assert isinstance(server.next_event(), HandshakeDone)


def test_a_forged_hello_after_the_true_one_costs_nothing() -> None:
    client, server = pair()
    (hello,) = client.step()
    server.receive_untrusted(hello, 0.0)
    (flight,) = server.datagrams_to_send()
    for _ in range(3):
        server.receive_untrusted(forge(hello), 0.0)
    assert server.datagrams_to_send() == []
    for datagram in client.step(flight):
        server.receive_untrusted(datagram, 0.0)
    assert isinstance(server.next_event(), HandshakeDone)


def test_half_a_forged_hello_does_not_hold_up_the_true_one() -> None:
    """A first fragment that promises more than ever comes, and does not fit the true message."""
    client, server = pair()
    (hello,) = client.step()
    fragment = b"\x01" + b"\0\x03\0" + b"\0\0" + b"\0\0\0" + b"\0\0\x20" + bytes(32)
    server.receive_untrusted(b"\x16\xfe\xfd" + bytes(8) + len(fragment).to_bytes(2, "big") + fragment, 0.0)
    server.receive_untrusted(hello, 0.0)
    assert len(server.datagrams_to_send()) == 1


def test_fresh_starts_are_rationed() -> None:
    bad = b"\x16\xfe\xfd" + bytes(8) + b"\0\x0d" + b"\x01\0\0\x01\0\0\0\0\0\0\0\x01\xff"
    _, server = pair()
    first = server._ssl
    made = {id(first)}
    for _ in range(1000):
        server.receive_untrusted(bad, 1.0)
        made.add(id(server._ssl))
    assert server.dropped == 1000
    assert server._restarts < 1
    server.receive_untrusted(bad, 2.0)
    assert server._restarts == limits.DTLS_RESTART_BURST - 1


# What happens to one datagram: bytes replaced, and how much of it arrives. All drawn beforehand, because how
# many datagrams there are depends on OpenSSL's own random numbers.
MUTATION = st.tuples(
    st.lists(st.tuples(st.integers(0, 999), st.integers(0, 255)), max_size=3), st.integers(0, 1300)
)


@settings(max_examples=200, deadline=None)
@given(st.lists(MUTATION, min_size=20, max_size=20))
def test_mutated_datagrams_never_raise(mutations: list[tuple[list[tuple[int, int]], int]]) -> None:
    client, server = pair()
    up = client.step()
    for _ in range(4):
        down = []
        for datagram in up:
            mutable = bytearray(datagram)
            replaced, length = mutations.pop() if mutations else ([], 0)
            for place, value in replaced:
                mutable[place % len(mutable)] = value
            server.receive_untrusted(bytes(mutable[:length]), 0.0)
            server.receive_untrusted(datagram, 0.0)
            down += server.datagrams_to_send()
        up = [answer for datagram in down for answer in client.step(datagram)]
    for event in events(server):
        assert isinstance(event, HandshakeDone | Failed)


def test_events_and_datagrams_are_bounded() -> None:
    client, server = connected()
    for _ in range(limits.DTLS_MAX_EVENTS + 50):
        for datagram in client.send(b"x"):
            server.receive_untrusted(datagram, 1.0)
    for _ in range(limits.DTLS_MAX_DATAGRAMS + 50):
        server.send(b"x")
    assert len(events(server)) == limits.DTLS_MAX_EVENTS
    assert len(server.datagrams_to_send()) == limits.DTLS_MAX_DATAGRAMS


def test_renegotiation_is_refused_and_harmless() -> None:
    client, server = connected()
    try:
        client.ssl.renegotiate()
        client.ssl.do_handshake()
    except SSL.Error:
        pass
    for datagram in client.take():
        server.receive_untrusted(datagram, 1.0)
    assert [event for event in events(server) if isinstance(event, HandshakeDone)] == []


def test_an_older_version_is_no_use() -> None:
    client, server = pair()
    (hello,) = client.step()
    for record in split_records(hello):
        server.receive_untrusted(record[:25] + b"\xfe\xff" + record[27:], 0.0)  # client_version DTLS 1.0
    assert server.datagrams_to_send() == []
    assert events(server) == []
