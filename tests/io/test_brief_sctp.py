"""The short ways of control.io.sctp: they do what aiortc does, and only where all is as usual."""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from typing import Any

from control.io.sctp import BoundedSctp, run
from tests.io.test_channels import LABEL, Pipes, chunk, packet_of


def acknowledgement(sctp: BoundedSctp, last: int, gaps: bytes = b"", tag: int | None = None) -> bytes:
    body = struct.pack("!LLHH", last % 2**32, 100_000, len(gaps) // 4, 0) + gaps
    return packet_of(sctp._local_verification_tag if tag is None else tag, chunk(3, body))


def outbound(sctp: Any) -> tuple[object, ...]:
    """What there is of messages under way, by distance from the next number."""
    return (
        [(chunk.tsn - sctp._local_tsn) % 2**32 for chunk in sctp._sent_queue],
        (sctp._last_sacked_tsn - sctp._local_tsn) % 2**32,
        (sctp._advanced_peer_ack_tsn - sctp._local_tsn) % 2**32,
        sctp._flight_size,
        sctp._cwnd,
        sctp._t3_handle is None,
        len(sctp._outbound_queue),
        len(sctp._data_channel_queue),
    )


def with_messages(test: Callable[[Pipes, Any], Awaitable[None]]) -> None:
    """Runs it with a member that hears nothing any more."""

    async def go() -> None:
        pipes = Pipes()
        await pipes.connect()
        assert pipes.channels.send(LABEL, "the last that is heard")
        await pipes.until("echo", "the last that is heard")
        for _ in range(10):
            await asyncio.sleep(0)  # the acknowledgement follows the message
        assert pipes.channels.buffered_amount == 0
        pipes.lost = lambda packet: True
        await test(pipes, pipes.channels._sctp)
        await pipes.end()

    asyncio.run(go())


def say(pipes: Pipes, *messages: str) -> None:
    for message in messages:
        assert pipes.channels.send(LABEL, message)
    pipes.channels._sctp._flushing.cancel()
    pipes.channels._sctp._flush()


def test_an_acknowledgement_of_everything_leaves_what_aiortc_leaves() -> None:
    async def test(pipes: Pipes, sctp: Any) -> None:
        for messages in (("one",), ("one", "two", "three"), ("x" * 1000, "y")):
            say(pipes, *messages)
            before = outbound(sctp)
            run(sctp._handle_data(acknowledgement(sctp, sctp._local_tsn - 1)))
            theirs = outbound(sctp)
            say(pipes, *messages)
            assert outbound(sctp) == before
            assert sctp.acknowledged_untrusted(acknowledgement(sctp, sctp._local_tsn - 1))
            assert outbound(sctp) == theirs
            assert pipes.channels.buffered_amount == 0

    with_messages(test)


def test_no_other_packet_takes_the_short_way() -> None:
    async def test(pipes: Pipes, sctp: Any) -> None:
        say(pipes, "one", "two")
        before = outbound(sctp)
        last = sctp._local_tsn - 1
        right = acknowledgement(sctp, last)
        assert len(right) == 28
        others = [right[:length] for length in range(28)] + [right + bytes(n) for n in range(1, 40)]
        others += [
            bytes(byte ^ (1 << bit) if index == at else byte for index, byte in enumerate(right))
            for at in range(28)
            for bit in range(8)
        ]
        others += [acknowledgement(sctp, last + by) for by in (-2, -1, 1, 2, 2**31 - 1, 2**31)]
        others.append(acknowledgement(sctp, last, gaps=b"\0\2\0\2"))
        others.append(acknowledgement(sctp, last, tag=sctp._local_verification_tag ^ 1))
        others.append(packet_of(sctp._local_verification_tag, chunk(4, bytes(12))))
        for packet in others:
            assert not sctp.acknowledged_untrusted(packet)
            assert outbound(sctp) == before
        assert sctp.acknowledged_untrusted(right)
        assert not sctp.acknowledged_untrusted(right)  # nothing is under way now

    with_messages(test)


def test_what_waits_for_room_is_left_to_aiortc() -> None:
    async def test(pipes: Pipes, sctp: Any) -> None:
        say(pipes, *["z" * 1000] * 8)
        assert sctp._flight_size >= sctp._cwnd
        assert sctp._outbound_queue or sctp._data_channel_queue
        assert not sctp.acknowledged_untrusted(acknowledgement(sctp, sctp._sent_queue[-1].tsn))
        pipes.channels.receive(acknowledgement(sctp, sctp._sent_queue[-1].tsn))
        assert sctp._sent_queue  # the next ones
        assert pipes.channels.buffered_amount == sum(
            len(each.user_data) for each in (*sctp._sent_queue, *sctp._outbound_queue)
        ) + sum(len(data) for _, _, data in sctp._data_channel_queue)

    with_messages(test)


def test_a_short_message_is_the_packet_that_aiortc_makes() -> None:
    async def test(pipes: Pipes, sctp: Any) -> None:
        for messages in (("a message",), ("a", "bc", "def"), ("x" * 1160,)):
            packets = []
            for brief in (True, False):
                sctp._local_tsn, sctp._outbound_stream_seq = 4_000_000_000, {1: 7, 0: 7}
                pipes.sent.clear()
                for message in messages:
                    assert pipes.channels.send(LABEL, message)
                sctp._flushing.cancel()
                sctp._flushing = None
                if brief:
                    sctp._flush()
                else:
                    sctp._gather(sctp._data_channel_flush())
                packets.append(list(pipes.sent))
                assert sctp._t3_handle is not None
                assert sctp._flight_size == sum(map(len, messages))
                sctp._sent_queue.clear()
                sctp._flight_size = 0
                sctp._t3_cancel()
            assert packets[0]
            assert packets[0] == packets[1]

    with_messages(test)
