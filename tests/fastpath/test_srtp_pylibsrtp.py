"""Our SRTP against libsrtp, both directions, every profile, every backend this machine has."""

from __future__ import annotations

import errno
import random
import struct
from collections.abc import Callable

import pylibsrtp
import pytest

from fastpath_ext.packet_crypto import CryptoError, SrtpContext, crypto_choose

SSRC = 0x5EED5EED
# profile number (RFC 5764, RFC 7714): libsrtp's, key and salt lengths
PROFILES = {
    1: (pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 16, 14),
    7: (pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 16, 12),
    8: (pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 32, 12),
}


@pytest.fixture(params=["openssl", "ipsec-mb"], autouse=True)
def backend(request: pytest.FixtureRequest) -> str:
    try:
        return crypto_choose(request.param)
    except CryptoError:
        pytest.skip("not compiled in, or its self test fails here")


class Pair:
    """The same keys in both implementations."""

    def __init__(self, profile: int) -> None:
        theirs, key_length, salt_length = PROFILES[profile]
        secret = random.Random(profile).randbytes(key_length + salt_length)
        self.ours = SrtpContext(profile, secret[:key_length], secret[key_length:])
        self._make: Callable[[int], pylibsrtp.Session] = lambda direction: pylibsrtp.Session(
            self._policy(secret, direction, theirs)
        )
        self.sender = self._make(pylibsrtp.Policy.SSRC_ANY_OUTBOUND)
        self.receiver = self._make(pylibsrtp.Policy.SSRC_ANY_INBOUND)

    @staticmethod
    def _policy(secret: bytes, direction: int, profile: int) -> pylibsrtp.Policy:
        policy = pylibsrtp.Policy(key=secret, ssrc_type=direction, srtp_profile=profile)
        policy.window_size = 1024
        policy.allow_repeat_tx = True
        return policy


@pytest.fixture(params=PROFILES)
def pair(request: pytest.FixtureRequest) -> Pair:
    return Pair(request.param)


def rtp(index: int, ssrc: int = SSRC, payload: bytes = b"media", csrcs: int = 0, extension: int = 0) -> bytes:
    first = 0x80 | csrcs | (0x10 if extension else 0)
    header = struct.pack("!BBHII", first, 96, index & 0xFFFF, index * 3000 & 0xFFFFFFFF, ssrc) + bytes(
        4 * csrcs
    )
    if extension:
        header += struct.pack("!HH", 0xBEDE, extension) + b"\x10\xaa\x00\x00" * extension
    return header + payload


def rtcp(ssrc: int, words: int) -> bytes:
    return struct.pack("!BBHI", 0x81, 201, words + 1, ssrc) + bytes(range(4 * words))


def refusal(call: Callable[[], object]) -> int:
    with pytest.raises(CryptoError) as caught:
        call()
    return caught.value.errno


def test_every_length_and_header_both_ways(pair: Pair) -> None:
    for index in range(1, 1300, 7):
        csrcs, extension = index % 16, index % 3
        packet = rtp(
            index, payload=bytes(index % 256 for _ in range(index)), csrcs=csrcs, extension=extension
        )
        header = len(packet) - index
        theirs = pair.sender.protect(packet)
        assert pair.ours.protect(packet, index, header) == theirs
        assert pair.receiver.unprotect(theirs) == packet
        assert pair.ours.unprotect(theirs, header) == (packet, index)


def test_they_follow_us_over_three_wraps(pair: Pair) -> None:
    """Jumps below half the range keep the rollover counter known."""
    index = 100
    while index < 3 << 16:
        packet = rtp(index)
        assert pair.receiver.unprotect(pair.ours.protect(packet, index)) == packet
        index += 20_011


def test_we_follow_them_over_three_wraps_with_reordering(pair: Pair) -> None:
    shuffle = random.Random(1)
    sent: dict[int, bytes] = {}
    index = 60_000
    while index < (3 << 16) + 500:
        sent[index] = pair.sender.protect(rtp(index))
        # densely around the wraps, in wide steps elsewhere
        index += 1 if (index + 400) & 0xFFFF < 800 else 13_001 if (index & 0xFFFF) < 40_000 else 331
    order = sorted(sent, key=lambda at: at + shuffle.uniform(0, 300))
    first = min(sent)
    order.remove(first)
    order.insert(0, first)
    for at in order:
        assert pair.ours.unprotect(sent[at]) == (rtp(at), at)
    highest = max(sent)
    assert pair.ours.highest(SSRC) == highest
    for at in order:
        assert refusal(lambda at=at: pair.ours.unprotect(sent[at])) in (errno.EALREADY, errno.EBADMSG)
    recent = [at for at in order if highest - at < 1024]
    assert len(recent) > 100
    for at in recent:
        assert refusal(lambda at=at: pair.ours.unprotect(sent[at])) == errno.EALREADY


def test_we_accept_and_refuse_what_they_accept_and_refuse(pair: Pair) -> None:
    """The same random arrivals, twice some of them, some broken, for both receivers."""
    chance = random.Random(7)
    packets = {index: pair.ours.protect(rtp(index), index) for index in range(65_000, 67_500)}
    pair.receiver.unprotect(packets[65_000])
    pair.ours.unprotect(packets[65_000])
    base = 65_001
    accepted = 0
    while base < 66_400:
        base += chance.choice((0, 0, 1, 1, 2, 5, 30))
        index = base + chance.randrange(1_050)
        packet = packets[index]
        if chance.random() < 0.1:
            broken = bytearray(packet)
            broken[chance.randrange(2, len(packet))] ^= 1 << chance.randrange(8)
            packet = bytes(broken)
        try:
            theirs: bytes | None = pair.receiver.unprotect(packet)
        except pylibsrtp.Error:
            theirs = None
        try:
            ours: bytes | None = pair.ours.unprotect(packet)[0]
        except CryptoError:
            ours = None
        assert ours == theirs
        accepted += ours is not None
    assert accepted > 200


def test_rtcp_both_ways_with_replay(pair: Pair) -> None:
    ours = []
    for number in range(60):
        packet = rtcp(SSRC + number % 3, number)
        protected = pair.ours.protect_rtcp(packet)
        ours.append(protected)
        assert pair.receiver.unprotect_rtcp(protected) == packet
        theirs = pair.sender.protect_rtcp(packet)
        assert pair.ours.unprotect_rtcp(theirs) == packet
        assert refusal(lambda theirs=theirs: pair.ours.unprotect_rtcp(theirs)) == errno.EALREADY
        broken = theirs[:-1] + bytes([theirs[-1] ^ 1])
        assert refusal(lambda broken=broken: pair.ours.unprotect_rtcp(broken)) in (
            errno.EBADMSG,
            errno.EALREADY,
        )
    assert len(set(ours)) == 60


def test_thirty_two_ssrcs_and_no_more(pair: Pair) -> None:
    for number in range(32):
        packet = rtp(5, ssrc=number + 1)
        assert pair.ours.unprotect(pair.sender.protect(packet)) == (packet, 5)
    assert refusal(lambda: pair.ours.unprotect(pair.sender.protect(rtp(5, ssrc=33)))) == errno.ENOSPC


def test_another_key_opens_nothing(pair: Pair) -> None:
    other = SrtpContext(7, bytes(16), bytes(12))
    assert refusal(lambda: other.unprotect(pair.sender.protect(rtp(1, payload=bytes(40))))) == errno.EBADMSG
    assert refusal(lambda: SrtpContext(2, bytes(16), bytes(14))) == errno.EINVAL
