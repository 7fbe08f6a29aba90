"""What was offered and answered becomes slots and senders; again after each second offer."""

from client.connections import Connections
from client.joining import Entry
from client.keylink import KeyLink
from client.media.sources import Source
from client.protocol import limits, messages, names
from client.receiving import Receiver
from client.sealed.sending import sealed_streams
from client.sending import CameraSender, MicrophoneSender, Senders
from client.transport.sdp import Answer, Offerer, read_answer_untrusted


class Negotiation:
    """Of one membership."""

    def __init__(
        self, entry: Entry, connections: Connections, source: Source | None, senders: Senders
    ) -> None:
        self._entry, self._connections, self._source, self._senders = entry, connections, source, senders

    def more_slots(self, others: int) -> None:
        """Offers four pairs more when the others are more than pairs (docs/protocol.md section 4)."""
        offerer, link = self._entry.offerer, self._connections.link
        if offerer is None or link is None or not link.connected:
            return
        if others <= offerer.pairs or offerer.pairs >= limits.SLOT_PAIRS_MAX:
            return
        offerer.pairs = min(limits.SLOT_PAIRS_MAX, offerer.pairs + limits.SLOT_PAIR_STEP)
        link.say(messages.negotiate(offerer.offer(), messages.stream_metadata(self._entry.stream_id)))

    def answered(self, sdp: str) -> None:
        """Raises AnswerUnusable."""
        offerer, link = self._entry.offerer, self._connections.link
        assert offerer is not None
        assert link is not None
        link.answer = read_answer_untrusted(sdp, offerer.lines)

    def agree(self, receiver: Receiver, keys: KeyLink, second: bool = False) -> None:
        """`second`: the answer is of a second connection."""
        offerer, link = self._entry.offerer, self._connections.link
        assert offerer is not None
        assert link is not None
        assert link.answer is not None
        receiver.answered(link.answer, second)
        if self._source is None:
            return
        if not self._senders.camera and not self._senders.microphone:
            self._make_senders(offerer, link.answer, keys)
        self._seal(offerer, link.answer, keys)

    def _seal(self, offerer: Offerer, answer: Answer, keys: KeyLink) -> None:
        """The SSRCs of sealed forms are the focus's, and others for each connection."""
        for line in offerer.lines:
            section = answer.sections.get(line.mid)
            sender = self._senders.camera if line.role == "camera" else self._senders.microphone
            if line.sealed != "send" or section is None or sender is None:
                continue
            given = {ssrc for ssrc, _ in section.sealed_ssrcs.values()}
            if given != {stream.ssrc for stream in sender.sealed_streams.values()}:
                sealer = keys.packet_sealer(names.SOURCES.index(line.role))
                sender.use_sealed(sealed_streams(section, sealer))

    def _make_senders(self, offerer: Offerer, answer: Answer, keys: KeyLink) -> None:
        assert self._source is not None
        senders, send = self._senders, self._connections.send
        for line in offerer.lines:
            section = answer.sections.get(line.mid)
            if section is None or section.direction != "recvonly" or line.sealed:
                continue
            sealer = keys.sealer(names.SOURCES.index(line.role))
            if line.role == "camera":
                senders.camera = CameraSender(section, self._source, sealer, send)
            else:
                senders.microphone = MicrophoneSender(section, self._source, sealer, send)
