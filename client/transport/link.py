"""The one transport to the focus: ICE (controlling, towards an ICE-lite server), DTLS-SRTP as client, SCTP.

aioice gives the checks and consent, aiortc DTLS, SRTP and SCTP; what is RTP or RTCP goes to two callables.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aioice import Candidate, Connection
from aioice.ice import get_host_addresses
from aiortc import RTCCertificate, RTCDataChannel, RTCDataChannelParameters
from aiortc.rtcdtlstransport import RTCDtlsFingerprint, RTCDtlsParameters, RTCDtlsTransport
from aiortc.rtcsctptransport import RTCSctpCapabilities, RTCSctpTransport

from client.errors import Trouble
from client.protocol import limits, names
from client.transport.sdp import Answer, Transport

log = logging.getLogger(__name__)

Handler = Callable[[bytes], None]


class _Ice:
    """What aiortc's DTLS uses of an ICE transport."""

    role = "controlling"

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def _recv(self) -> bytes:
        while True:
            connection = self.connection
            try:
                return await connection.recv()
            except ConnectionError:
                # What runs over it goes on over the one that took its place.
                if connection is self.connection:
                    raise

    async def _send(self, data: bytes) -> None:
        await self.connection.send(data)


class _Dtls(RTCDtlsTransport):
    """RTP and RTCP, once decrypted, are ours and not aiortc's router's."""

    def __init__(self, ice: _Ice, certificate: RTCCertificate, on_rtp: Handler, on_rtcp: Handler) -> None:
        super().__init__(ice, [certificate])  # type: ignore[arg-type]
        self._on_rtp, self._on_rtcp = on_rtp, on_rtcp
        self._set_role("client")

    async def _handle_rtp_data(self, data: bytes, arrival_time_ms: int) -> None:
        self._on_rtp(data)

    async def _handle_rtcp_data(self, data: bytes) -> None:
        self._on_rtcp(data)


class Link:
    """`on_rtp`, `on_rtcp` get decrypted packets, `on_message` text of the data channel, `on_lost` is called
    once."""

    def __init__(
        self,
        on_rtp: Handler,
        on_rtcp: Handler,
        on_message: Callable[[str], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._path = _Ice(Connection(ice_controlling=True))
        self._certificate = RTCCertificate.generateCertificate()
        self._dtls = _Dtls(self._path, self._certificate, on_rtp, on_rtcp)
        self._dtls.on("statechange", self._state_changed)
        self._on_message, self._on_lost = on_message, on_lost
        self._sctp: RTCSctpTransport | None = None
        self._channel: Any = None
        self._up = False
        self.answer: Answer | None = None

    async def gather(self) -> Transport:
        """Our side, for the offer; Trouble "ice_failed" on a machine without any address."""
        return await self._gather(self._path.connection)

    async def _gather(self, ice: Connection) -> Transport:
        await ice.gather_candidates()
        if not ice.local_candidates:
            raise Trouble("ice_failed", "This machine has no network address to receive media on.")
        return Transport(
            ice.local_username,
            ice.local_password,
            tuple((each.algorithm, each.value) for each in self._certificate.getFingerprints()),
            tuple(each.to_sdp() for each in ice.local_candidates),
        )

    @property
    def stranded(self) -> bool:
        """The address that we send from is none of this machine's any more, but there are others."""
        pair = self._path.connection._nominated.get(1)
        if pair is None or pair.local_candidate.type != "host":
            return False
        addresses = get_host_addresses(use_ipv4=True, use_ipv6=True)
        return bool(addresses) and pair.local_candidate.host not in addresses

    async def restart(self, renegotiate: Callable[[Transport], Awaitable[Answer]]) -> None:
        """Another path under new ICE credentials; DTLS and all above it go on. Trouble "ice_failed".

        `renegotiate` offers our new side and returns the answer.
        """
        ice = Connection(ice_controlling=True)
        try:
            answer = await renegotiate(await self._gather(ice))
            await _check(ice, answer.transport)
        except BaseException:
            await ice.close()
            raise
        self.answer = answer
        before, self._path.connection = self._path.connection, ice
        await before.close()

    async def connect(self, answer: Answer) -> None:
        """Returns when the data channel is open; Trouble "ice_failed", "dtls_failed" or "channel_failed"."""
        self.answer = answer
        theirs = answer.transport
        await _check(self._path.connection, theirs)
        fingerprints = [
            RTCDtlsFingerprint(algorithm=name, value=value) for name, value in theirs.fingerprints
        ]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limits.CONNECT_S):
                await self._dtls.start(RTCDtlsParameters(fingerprints=fingerprints))
        if self._dtls.state != "connected":
            raise Trouble("dtls_failed", "The server could not be authenticated on the media path.")
        await self._open_channel(answer)
        self._up = True

    async def _open_channel(self, answer: Answer) -> None:
        self._sctp = RTCSctpTransport(self._dtls)
        await self._sctp.start(RTCSctpCapabilities(maxMessageSize=answer.max_message_size), answer.sctp_port)
        channel = RTCDataChannel(self._sctp, RTCDataChannelParameters(label=names.CHANNEL_LABEL))
        self._channel = channel
        opened = asyncio.Event()
        channel.on("open", opened.set)
        channel.on("message", self._heard)
        channel.on("close", self._lost)
        if channel.readyState == "open":
            opened.set()
        try:
            async with asyncio.timeout(limits.CONNECT_S):
                await opened.wait()
        except TimeoutError:
            raise Trouble("channel_failed", "The server did not open the data channel.") from None

    @property
    def connected(self) -> bool:
        return self._up and self._dtls.state == "connected"

    @property
    def lasts(self) -> bool:
        """Media goes on, whatever became of the data channel: aioice sees to consent."""
        return bool(self._dtls.state == "connected")

    def say(self, message: str) -> bool:
        """A text over the data channel; False when there is none any more."""
        if self._channel is None or self._channel.readyState != "open":
            return False
        self._channel.send(message)
        return True

    async def send(self, packet: bytes) -> bool:
        """RTP or RTCP, encrypted on the hop; False when the transport is gone."""
        try:
            await self._dtls._send_rtp(packet)
        except (ConnectionError, OSError):
            return False
        return True

    async def close(self) -> None:
        """Quietly: whoever leaves has said so before."""
        self._up = False
        if self._sctp is not None:
            await self._sctp.stop()
        await self._dtls.stop()
        await self._path.connection.close()

    def _heard(self, message: object) -> None:
        if isinstance(message, str):
            self._on_message(message)

    def _state_changed(self) -> None:
        if self._dtls.state in ("closed", "failed"):
            self._lost()

    def _lost(self) -> None:
        if self._up:
            self._up = False
            self._on_lost()


async def _check(ice: Connection, theirs: Transport) -> None:
    """Until a path is nominated; Trouble "ice_failed"."""
    ice.remote_username, ice.remote_password = theirs.ufrag, theirs.password
    ice.remote_is_lite = True
    for line in theirs.candidates:
        with contextlib.suppress(ValueError):
            candidate = Candidate.from_sdp(line)
            if candidate.transport.lower() == "udp":
                await ice.add_remote_candidate(candidate)
    await ice.add_remote_candidate(None)
    try:
        async with asyncio.timeout(limits.CONNECT_S):
            await ice.connect()
    except (ConnectionError, TimeoutError):
        raise Trouble("ice_failed", "No way to the server's media address was found.") from None
