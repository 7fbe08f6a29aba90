"""Data channels over pipes in one process: aiortc's whole SCTP as the member, ours as the focus."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google_crc32c import value as crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from control.io.channels import ABORTED, CLOSED, SLOW_READER, TOO_LARGE, DataChannels
from control.protocol import limits
from control.protocol.sctp_guard import is_sound_untrusted
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parent.parent.parent
CORPUS = ROOT.parent / "shared/vectors/libwebrtc-fuzz/sctp-packet-corpus.json"
LABEL = "org.matrix.msc2359"


class Pipes:
    """A member and the focus, joined by two lists of packets that move when the loop runs."""

    def __init__(self, deaf: bool = False) -> None:
        from aiortc.rtcsctptransport import RTCSctpTransport  # the member is a whole aiortc, PyAV included

        self.loop = asyncio.get_running_loop()
        self.log: list[tuple[Any, ...]] = []
        self.changed = asyncio.Event()
        self.lost: Callable[[bytes], bool] = lambda packet: deaf  # of what the focus sends
        self.sent: list[bytes] = []
        self.member_dtls = _MemberDtls(self)
        self.member = RTCSctpTransport(self.member_dtls, 5000)  # type: ignore[arg-type]
        self.channels = DataChannels(
            send=self.to_member,
            on_open=lambda label: self.note("open", label),
            on_message=lambda label, message: self.note("message", label, message),
            on_close=lambda label, reason: self.note("close", label, reason),
        )

    def note(self, *entry: Any) -> None:
        self.log.append(entry)
        self.changed.set()

    def to_member(self, packet: bytes) -> None:
        self.sent.append(packet)
        if not self.lost(packet):
            self.loop.call_soon(lambda: self.loop.create_task(self.member._handle_data(packet)))

    def to_focus(self, packet: bytes) -> None:
        self.loop.call_soon(self.channels.receive, packet)

    async def connect(self, label: str = LABEL) -> Any:
        await self.member.start(None, 5000)
        return await self.open(label)

    async def open(self, label: str) -> Any:
        from aiortc import RTCDataChannel, RTCDataChannelParameters

        channel = RTCDataChannel(self.member, RTCDataChannelParameters(label=label))
        channel.on("message", lambda message: self.note("echo", message))
        channel.on("close", lambda: self.note("member closed"))
        channel.on("open", lambda: self.note("member open"))
        self.log.clear()
        await self.until("open", label)
        await self.until("member open")
        return channel

    async def until(self, *entry: Any) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not any(each[: len(entry)] == entry for each in self.log):
                self.changed.clear()
                await self.changed.wait()

    async def end(self) -> None:
        await self.channels.stop(silent=True)
        await self.member.stop()


class _MemberDtls:
    _role = "client"
    state = "connected"

    def __init__(self, pipes: Pipes) -> None:
        self.pipes = pipes

    def _register_data_receiver(self, receiver: object) -> None: ...

    def _unregister_data_receiver(self, receiver: object) -> None: ...

    async def _send_data(self, data: bytes) -> None:
        self.pipes.to_focus(data)


# -- what it is for --


async def test_open_and_both_ways() -> None:
    pipes = Pipes()
    channel = await pipes.connect()
    for message in ("text \u20ac", b"bytes", "", b"", "x" * 16000, "y" * limits.CHANNEL_MAX_MESSAGE):
        channel.send(message)
        await pipes.until("message", LABEL, message)
        assert pipes.channels.send(LABEL, message)
        await pipes.until("echo", message)
    assert pipes.channels.dropped == 0
    assert not pipes.channels.send("another", "x")
    await pipes.end()


async def test_order_is_kept() -> None:
    pipes = Pipes()
    channel = await pipes.connect()
    for n in range(300):
        channel.send(str(n))
        assert pipes.channels.send(LABEL, str(n))
    await pipes.until("message", LABEL, "299")
    await pipes.until("echo", "299")
    assert [each[2] for each in pipes.log if each[0] == "message"] == [str(n) for n in range(300)]
    assert [each[1] for each in pipes.log if each[0] == "echo"] == [str(n) for n in range(300)]
    await pipes.end()


async def test_a_lost_packet_is_sent_again() -> None:
    pipes = Pipes()
    await pipes.connect()
    pattern = iter([False, True, False, False])
    pipes.lost = lambda packet: next(pattern, False)
    for n in range(8):
        assert pipes.channels.send(LABEL, str(n) * 1000)
    await pipes.until("echo", "7" * 1000)
    assert [each[1][0] for each in pipes.log if each[0] == "echo"] == list("01234567")
    for _ in range(10):
        await asyncio.sleep(0)  # the acknowledgement follows the message
    assert pipes.channels.buffered_amount == 0
    await pipes.end()


async def test_packets_fit_a_datagram() -> None:
    pipes = Pipes()
    await pipes.connect()
    assert pipes.channels.send(LABEL, "x" * 60000)
    await pipes.until("echo", "x" * 60000)
    assert max(len(packet) for packet in pipes.sent) <= 1189
    await pipes.end()


# -- endings --


async def test_the_member_closes_its_channel() -> None:
    pipes = Pipes()
    channel = await pipes.connect()
    channel.close()
    await pipes.until("close", LABEL, CLOSED)
    assert not pipes.channels.send(LABEL, "x")
    await pipes.open(LABEL)  # and may open it again
    assert pipes.channels.send(LABEL, "again")
    await pipes.until("echo", "again")
    await pipes.end()


async def test_the_member_aborts() -> None:
    pipes = Pipes()
    await pipes.connect()
    await pipes.member.stop()
    await pipes.until("close", LABEL, ABORTED)
    assert [each for each in pipes.log if each[0] == "close"] == [("close", LABEL, ABORTED)]
    await pipes.end()


async def test_a_silent_stop_sends_nothing() -> None:
    pipes = Pipes()
    await pipes.connect()
    pipes.channels.send(LABEL, "x" * 50000)
    pipes.sent.clear()
    await pipes.channels.stop(silent=True)
    await asyncio.sleep(0)
    assert pipes.sent == []
    assert pipes.member.state == "connected"
    assert ("close", LABEL, ABORTED) not in pipes.log
    pipes.channels.receive(b"late")
    await pipes.end()
    assert pipes.sent == []


async def test_a_loud_stop_tells_the_member() -> None:
    pipes = Pipes()
    await pipes.connect()
    await pipes.channels.stop(silent=False)
    await pipes.until("member closed")
    assert [each for each in pipes.log if each[0] == "close"] == []
    await pipes.end()


async def test_no_timer_outlives_the_stop() -> None:
    pipes = Pipes()
    await pipes.connect()
    pipes.lost = lambda packet: True
    pipes.channels.send(LABEL, "never acknowledged")
    await asyncio.sleep(0)
    await pipes.channels.stop(silent=True)
    sctp = pipes.channels._sctp
    assert (sctp._t1_handle, sctp._t2_handle, sctp._t3_handle, sctp._reconfig_handle) == (
        None,
        None,
        None,
        None,
    )
    await pipes.end()


async def test_a_member_that_never_answers() -> None:
    pipes = Pipes(deaf=True)
    sctp = pipes.channels._sctp
    for _ in range(9):  # its timer, without waiting for it
        sctp._t1_handle.cancel()
        sctp._t1_expired()
    await pipes.until("close", "", ABORTED)
    assert pipes.log == [("close", "", ABORTED)]
    await pipes.end()


async def test_a_mistake_in_a_callback_is_not_swallowed() -> None:
    pipes = Pipes()
    channel = await pipes.connect()
    pipes.channels._on_message = lambda label, message: int("mistake")  # type: ignore[assignment,return-value]
    pipes.to_focus = lambda packet: pipes.note("packet", packet)  # type: ignore[method-assign]
    channel.send("x")
    await pipes.until("packet")
    with pytest.raises(ValueError, match="mistake"):
        pipes.channels.receive(pipes.log[-1][1])
    await pipes.end()


# -- limits --


async def test_a_slow_reader_loses_its_channel() -> None:
    pipes = Pipes()
    await pipes.connect()
    pipes.lost = lambda packet: True
    accepted = 0
    while pipes.channels.send(LABEL, "x" * 16000):
        accepted += 1
        await asyncio.sleep(0)
    assert accepted == limits.CHANNEL_MAX_BUFFERED // 16000
    assert [each for each in pipes.log if each[0] == "close"] == [("close", LABEL, SLOW_READER)]
    assert pipes.channels.buffered_amount == 0
    await pipes.end()


async def test_too_large_a_message_ends_the_channel() -> None:
    pipes = Pipes()
    channel = await pipes.connect()
    pipes.member._remote_max_message_size = 0
    channel.send("x" * (limits.CHANNEL_MAX_MESSAGE + 1))
    await pipes.until("close", LABEL, TOO_LARGE)
    await pipes.until("member closed")
    await pipes.end()


async def test_an_endless_message_is_not_collected() -> None:
    pipes = Pipes()
    channel = await pipes.connect()
    pipes.member._remote_max_message_size = 0
    channel.send("x" * 4_000_000)
    await pipes.until("close", LABEL, TOO_LARGE)
    held = sum(len(c.user_data) for s in pipes.channels._sctp._inbound_streams.values() for c in s.reassembly)
    assert held <= limits.SCTP_MAX_HELD_BYTES
    await pipes.end()


async def test_a_second_channel_of_one_label_is_closed() -> None:
    from aiortc import RTCDataChannel, RTCDataChannelParameters

    pipes = Pipes()
    await pipes.connect()
    second = RTCDataChannel(pipes.member, RTCDataChannelParameters(label=LABEL))
    second.on("close", lambda: pipes.note("second closed"))
    await pipes.until("second closed")
    assert pipes.channels.send(LABEL, "first lives")
    await pipes.until("echo", "first lives")
    await pipes.end()


async def test_a_flood_of_packets_is_rationed() -> None:
    pipes = Pipes()
    await pipes.connect()
    packet = pipes_packet(pipes, heartbeat(b"\0\1\0\x08abcd"))
    pipes.sent.clear()
    before = time.monotonic()
    for _ in range(5000):
        pipes.channels.receive(packet)
    gained = limits.SCTP_PACKETS_PER_SECOND * (time.monotonic() - before)
    assert len(pipes.sent) <= limits.SCTP_PACKETS_BURST + gained + 1
    assert pipes.channels.dropped >= 5000 - len(pipes.sent)
    await pipes.end()


# -- rubbish --


def chunk(kind: int, body: bytes, flags: int = 0) -> bytes:
    return bytes([kind, flags]) + (len(body) + 4).to_bytes(2, "big") + body + bytes(-len(body) % 4)


def heartbeat(parameters: bytes) -> bytes:
    return chunk(4, parameters)


def data(tsn: int, stream: int, user_data: bytes, flags: int = 3) -> bytes:
    head = (tsn % 2**32).to_bytes(4, "big") + stream.to_bytes(2, "big") + bytes(2) + (51).to_bytes(4, "big")
    return chunk(0, head + user_data, flags)


def packet_of(tag: int, *chunks: bytes) -> bytes:
    head = (5000).to_bytes(2, "big") * 2 + tag.to_bytes(4, "big")
    body = b"".join(chunks)
    return head + crc32c(head + bytes(4) + body).to_bytes(4, "little") + body


def pipes_packet(pipes: Pipes, *chunks: bytes) -> bytes:
    """A packet that passes tag and checksum, as one of the member's own."""
    return packet_of(pipes.channels._sctp._local_verification_tag, *chunks)


SOUND = heartbeat(b"\0\1\0\x08abcd")


@pytest.mark.parametrize(
    ("chunks", "sound"),
    [
        ([SOUND], True),
        ([heartbeat(b"")], True),
        ([heartbeat(b"\0\1\0\x05a\0\0\0")], True),
        ([heartbeat(b"\0\1\0\0")], False),  # a parameter of length 0 would be read for ever
        ([heartbeat(b"\0\1\0\3")], False),
        ([heartbeat(b"\0\1\0\x09abcd")], False),
        ([heartbeat(b"\0\1\0\x04\0\1\0\0")], False),
        ([heartbeat(b"\0\1")], False),
        ([chunk(130, b"\0\x0d\0\0")], False),
        ([chunk(1, bytes(16))], True),
        ([chunk(1, bytes(15))], False),
        ([chunk(1, bytes(16) + b"\xc0\0\0\0")], False),
        ([chunk(1, bytes(16)), SOUND], False),
        ([data(1, 0, b"x")], True),
        ([data(1, 0, b"")], False),
        ([data(1, limits.SCTP_MAX_STREAMS, b"x")], False),
        ([chunk(3, bytes(12))], True),
        ([chunk(3, bytes(11))], False),
        ([chunk(3, bytes(9) + b"\1\0\0" + b"\0\2\0\5")], True),
        ([chunk(3, bytes(9) + b"\2\0\0" + b"\0\2\0\5\0\5\0\7")], False),
        ([chunk(3, bytes(9) + b"\1\0\0" + b"\0\5\0\2")], False),
        ([chunk(3, bytes(9) + b"\xff\0\0")], False),
        ([chunk(192, bytes(4) + b"\0\1\0\1")], True),
        ([chunk(192, bytes(4) + b"\xff\xff\0\1")], False),
        ([chunk(192, bytes(6))], False),
        ([chunk(192, b"")], False),
        ([chunk(7, bytes(4))], True),
        ([chunk(7, b"")], False),
        ([b"\x04\0\0\0"], False),
        ([b"\x04\0\0\x09abcd"], False),
        ([chunk(250, b"unknown")], True),
        ([SOUND] * 64, True),
        ([SOUND] * 65, False),
        ([], False),
    ],
)
def test_the_guard(chunks: list[bytes], sound: bool) -> None:
    assert is_sound_untrusted(packet_of(1, *chunks)) is sound


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200))
def test_the_guard_never_raises(packet: bytes) -> None:
    is_sound_untrusted(packet)
    is_sound_untrusted(bytes(12) + packet)


def corpus() -> list[bytes]:
    cases = json.loads(CORPUS.read_text())["cases"]
    return [bytes.fromhex(case["hex"]) for case in cases]


def sealed(packet: bytes, tag: int) -> bytes:
    """The same chunks with the right tag and checksum, so that they get further."""
    head = packet[:4] + tag.to_bytes(4, "big")
    return head + crc32c(head + bytes(4) + packet[12:]).to_bytes(4, "little") + packet[12:]


@pytest.mark.skipif(not CORPUS.exists(), reason="vectors are not here")
async def test_corpus_of_libwebrtc() -> None:
    for packet in corpus():
        pipes = Pipes()
        pipes.channels.receive(packet)
        for cut in range(len(packet)):
            pipes.channels._packets = 100
            pipes.channels.receive(sealed(packet[:cut], 0) if cut >= 12 else packet[:cut])
        await pipes.end()
        # And into a connection that is up.
        pipes = Pipes()
        await pipes.connect()
        pipes.channels.receive(packet)
        pipes.channels.receive(sealed(packet, pipes.channels._sctp._local_verification_tag))
        pipes.channels.receive(sealed(packet, 0))
        await asyncio.sleep(0)
        await pipes.end()


def parameters(kinds: list[int]) -> st.SearchStrategy[bytes]:
    one = st.tuples(st.sampled_from(kinds), st.binary(max_size=24)).map(
        lambda each: each[0].to_bytes(2, "big") + chunk(0, each[1])[2:]
    )
    return st.lists(one, max_size=3).map(b"".join)


# TSNs begin at 1000 here. Flags: 1 last, 2 first fragment, 4 unordered. 50 is DCEP, 51 text.
DATA = st.builds(
    lambda tsn, stream, sequence, protocol, content: (
        tsn.to_bytes(4, "big") + bytes([0, stream, 0, sequence, 0, 0, 0, protocol]) + content
    ),
    st.integers(998, 1010),
    st.integers(0, 3),
    st.integers(0, 3),
    st.sampled_from([0, 50, 51, 53, 56, 57]),
    st.binary(min_size=1, max_size=20) | st.just(b"\3\0\0\0\0\0\0\0\0\1\0\0y") | st.just(b"\2"),
)
CHUNKS = st.one_of(
    st.tuples(st.just(0), DATA, st.integers(0, 7)),
    st.tuples(st.just(130), parameters([13, 16, 17]), st.just(0)),
    st.tuples(st.sampled_from([4, 5, 6, 9]), parameters([1, 3, 9]), st.just(0)),
    st.tuples(st.sampled_from([1, 2]), st.binary(min_size=16, max_size=16), st.just(0)),
    st.tuples(st.sampled_from([3, 7, 8, 10, 11, 14, 192]), st.binary(max_size=32), st.integers(0, 255)),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(CHUNKS, min_size=1, max_size=12))
def test_any_chunks_of_a_member_stay_its_own_affair(chunks: list[tuple[int, bytes, int]]) -> None:
    """Right tag, checksum and lengths, any content: nothing escapes, neither from receive nor later."""

    async def run() -> None:
        escaped: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: escaped.append(context))
        pipes = Pipes(deaf=True)
        channels = pipes.channels
        init = (
            (7).to_bytes(4, "big") + (100000).to_bytes(4, "big") + b"\0\x10\0\x10" + (1000).to_bytes(4, "big")
        )
        channels.receive(packet_of(0, chunk(1, init)))
        cookie_at = pipes.sent[-1].find(b"\0\x07\0\x1c")
        channels.receive(pipes_packet(pipes, chunk(10, pipes.sent[-1][cookie_at + 4 : cookie_at + 28])))
        assert channels._sctp.state == "connected"
        channels.receive(pipes_packet(pipes, data(1000, 0, b"\3\0\0\0\0\0\0\0\0\1\0\0x")))
        for kind, body, flags in chunks:
            channels.receive(pipes_packet(pipes, chunk(kind, body, flags)))
            channels.send("x", "answer")
        channels.receive(pipes_packet(pipes, *(chunk(kind, body, flags) for kind, body, flags in chunks)))
        await asyncio.sleep(0)
        await channels.stop(silent=False)
        assert escaped == []

    asyncio.run(run())


async def test_scattered_pieces_are_bounded() -> None:
    """Data with holes in it: what is held has an end, whatever its order and size."""
    pipes = Pipes()
    await pipes.connect()
    sctp = pipes.channels._sctp
    first = sctp._last_received_tsn
    for n in range(5000):
        pipes.channels._packets = 10
        pipes.channels.receive(pipes_packet(pipes, data(first + 2 + 2 * n, n % 64, b"x", flags=2)))
    assert (
        sum(len(stream.reassembly) for stream in sctp._inbound_streams.values())
        <= limits.SCTP_MAX_HELD_CHUNKS
    )
    assert max(map(len, pipes.sent)) < 4 * limits.SCTP_MAX_HELD_CHUNKS + 100
    await pipes.end()


def test_a_sack_for_what_was_never_sent_is_ignored() -> None:
    async def run() -> None:
        pipes = Pipes()
        await pipes.connect()
        sctp = pipes.channels._sctp
        last = sctp._last_sacked_tsn
        for ahead in (1000, 2**31 - 1):
            body = ((last + ahead) % 2**32).to_bytes(4, "big") + (100000).to_bytes(4, "big") + bytes(4)
            pipes.channels.receive(pipes_packet(pipes, chunk(3, body)))
        gap = last.to_bytes(4, "big") + (100000).to_bytes(4, "big") + b"\0\1\0\0" + b"\0\1\xff\xff"
        pipes.channels.receive(pipes_packet(pipes, chunk(3, gap)))
        assert sctp._last_sacked_tsn == last
        assert pipes.channels.send(LABEL, "still here")
        await pipes.until("echo", "still here")
        await pipes.end()

    asyncio.run(run())


def test_control_does_not_load_codecs() -> None:
    """Importing our channels loads neither PyAV nor libsrtp, and leaves aiortc importable as a whole."""
    script = """
import sys
import control.io.channels
assert not {"av", "pylibsrtp", "aiortc"} & set(sys.modules), set(sys.modules)
import aiortc
assert aiortc.RTCPeerConnection and "av" in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


def test_it_also_works_where_aiortc_is_already_there() -> None:
    script = "import aiortc, control.io.sctp as c; assert c.RTCSctpTransport is aiortc.RTCSctpTransport"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)
