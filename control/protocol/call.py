"""One member's signalling leg: a call of MSC2746 version "1" in a direct-message room."""

from enum import Enum
from typing import Final, Self

from control.protocol import limits, names
from control.protocol.content import (
    Candidates,
    Hangup,
    MatrixContent,
    Reject,
    SelectAnswer,
    error_object,
)
from control.protocol.events import CountMetric, Effect, JsonObject, SendMatrix


class State(Enum):
    """How far a call has come. A call that is refused never gets one."""

    ANSWERED = "answered"  # nothing of it was seen on the network yet
    CONNECTED = "connected"  # ICE
    SECURED = "secured"  # DTLS: media flows; no data channel (yet, or no more)
    OPEN = "open"  # data channel
    ENDED = "ended"


class Step(Enum):
    """What moves a call on."""

    ICE = "ice"
    DTLS = "dtls"
    CHANNEL_OPENED = "channel opened"
    CHANNEL_CLOSED = "channel closed"
    END = "end"


SECURED: Final = (State.SECURED, State.OPEN)
"""Media flows."""

# What is not here changes nothing and is counted. A dead data channel is not a leave: media goes on until
# consent expires.
TRANSITIONS: Final[dict[State, dict[Step, State]]] = {
    # The message that tells of ICE may be lost; DTLS proves it as well.
    State.ANSWERED: {Step.ICE: State.CONNECTED, Step.DTLS: State.SECURED, Step.END: State.ENDED},
    State.CONNECTED: {Step.DTLS: State.SECURED, Step.END: State.ENDED},
    State.SECURED: {Step.CHANNEL_OPENED: State.OPEN, Step.END: State.ENDED},
    State.OPEN: {
        Step.CHANNEL_OPENED: State.OPEN,
        Step.CHANNEL_CLOSED: State.SECURED,
        Step.END: State.ENDED,
    },
    State.ENDED: {},
}


class Call:
    """Made when an invite was accepted. `party_id` is theirs, `own_party_id` the focus's device."""

    def __init__(
        self, room_id: str, user_id: str, call_id: str, party_id: str, own_party_id: str, now: float
    ) -> None:
        self.room_id = room_id
        self.user_id = user_id
        self.call_id = call_id
        self.party_id = party_id
        self.state = State.ANSWERED
        self.deadline: float | None = now + limits.ICE_TIMEOUT
        self.delivered = False  # the homeserver has the answer
        self._own_party_id = own_party_id
        self._answer: SendMatrix | None = None

    @classmethod
    def of_before(cls, room_id: str, user_id: str, call_id: str, party_id: str, own_party_id: str) -> Self:
        """One that a former control process had brought to an open channel, which is lost with it."""
        call = cls(room_id, user_id, call_id, party_id, own_party_id, 0.0)
        call.state, call.deadline = State.SECURED, None
        return call

    @property
    def secured(self) -> bool:
        return self.state in SECURED

    def advance(self, step: Step, now: float) -> bool:
        """Move on; False when the step means nothing in this state."""
        after = TRANSITIONS[self.state].get(step)
        if after is None:
            return False
        self.state = after
        if step is Step.ICE or (step is Step.DTLS and self.deadline is not None):
            self.deadline = now + limits.CHANNEL_TIMEOUT
        elif step in (Step.CHANNEL_OPENED, Step.END):
            self.deadline = None
            self._answer = None
        return True

    def handle(self, content: MatrixContent, now: float) -> list[Effect]:
        """A later event of this call's room. `state` is ENDED afterwards when it ended the call."""
        if isinstance(content, Candidates):
            # ICE-lite sends no checks, so theirs are not needed (RFC 8445 appendix A).
            return []
        if not isinstance(content, SelectAnswer | Hangup | Reject):
            return [CountMetric("matrix_events_ignored", "type")]
        if content.party_id != self.party_id:
            return [CountMetric("matrix_events_ignored", "party")]
        if not (isinstance(content, SelectAnswer) and content.selected_party_id == self._own_party_id):
            self.advance(Step.END, now)
        return []

    def answer(self, sdp: str) -> SendMatrix:
        """The answer to the invite, remembered for a repeated invite."""
        content: JsonObject = {"answer": {"type": "answer", "sdp": sdp}, names.METADATA: {}}
        self._answer = SendMatrix(self.room_id, names.ANSWER, self._common(content))
        return self._answer

    def repeat_answer(self) -> list[Effect]:
        """For an invite that came twice: the caller may have missed the answer."""
        return [self._answer] if self._answer is not None and self.state is State.ANSWERED else []

    def negotiated(self, sdp: str, offer_id: str | None) -> SendMatrix:
        """The answer to a new offer that came through the room, which may have a name."""
        content: JsonObject = {
            "lifetime": limits.INVITE_LIFETIME_MAX_MS,
            "description": {"type": "answer", "sdp": sdp},
            names.METADATA: {},
        }
        if offer_id is not None:
            content[names.OFFER_ID] = offer_id
        return SendMatrix(self.room_id, names.NEGOTIATE, self._common(content))

    def hangup(self, reason: str, code: str, message: str) -> SendMatrix:
        """We end it."""
        content: JsonObject = {"reason": reason, names.ERROR: error_object(code, message)}
        return SendMatrix(self.room_id, names.HANGUP, self._common(content))

    def _common(self, content: JsonObject) -> JsonObject:
        head = {"call_id": self.call_id, "party_id": self._own_party_id, "version": names.CALL_VERSION}
        return head | content


def refusal(
    room_id: str, call_id: str, own_party_id: str, version_0: bool, code: str, message: str
) -> SendMatrix:
    """The answer to an invite that is not accepted. Version 0 of the protocol knows no reject."""
    content: JsonObject = {
        "call_id": call_id,
        "party_id": own_party_id,
        "version": 0 if version_0 else names.CALL_VERSION,
        names.ERROR: error_object(code, message),
    }
    return SendMatrix(room_id, names.HANGUP if version_0 else names.REJECT, content)
