"""What the next control process has to know so that conferences go on: noted as it changes, and read back.

Of the media nothing is noted: it goes on by the rows of the table, and the rows of what is read back are the
same. DTLS and SCTP are not: members bring second connections (resumption.py).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from control.protocol import limits, names
from control.protocol.admission import Admission
from control.protocol.allocation import FullError, Rows
from control.protocol.budget import Budget
from control.protocol.call import Call
from control.protocol.conference import Conference, Settings
from control.protocol.epochs import Epochs
from control.protocol.events import CountMetric, Effect
from control.protocol.gathering import stand_in
from control.protocol.member import Member
from control.protocol.plain import from_plain, to_plain
from control.protocol.slots import Occupant
from control.protocol.terms import Terms
from control.protocol.tokens import Tokens
from control.protocol.transport import HeldTransport, Transport
from control.protocol.wishes import Wish

_RESTARTED: Final = "The focus was restarted while you joined: join again."
Note = tuple[str, Any]  # key, value as JSON; None = gone


@dataclass(frozen=True, slots=True)
class _Conference:
    creator: str
    conference_id: str
    next_member: int
    dominant: int | None
    seen: tuple[tuple[str, str, int], ...]  # proofs: user, call, until when
    voice: bool = False
    members_max: int = limits.MEMBERS_MAX


@dataclass(frozen=True, slots=True)
class _Joining:
    """One that has its answer and is not connected yet: it has to call again."""

    room_id: str
    user_id: str
    call_id: str
    party_id: str


@dataclass(frozen=True, slots=True)
class _Said:
    """One wish."""

    member: int
    source: str
    wish: Wish | None


@dataclass(frozen=True, slots=True)
class _Member:
    device_id: str
    room_id: str
    user_id: str
    call_id: str
    party_id: str
    present: bool
    muted: tuple[str, ...]
    pairs: tuple[tuple[int, Occupant], ...]
    wishes: tuple[_Said, ...]
    tokens: tuple[bytes, ...] = field(repr=False)
    awaited: bool = False  # of a server before this one, and not come over yet


class Notes:
    """What was noted of the conferences of one worker."""

    def __init__(self) -> None:
        self._noted: dict[int, dict[str, object]] = {}  # by conference number: what each note was made of
        self._answered: list[str] = []

    def take_over(self, notes: Mapping[str, Any]) -> None:
        """Of a former process: those that are done with once they were read are forgotten."""
        self._answered = [key for key in notes if key.startswith("j")]

    def changes(self, conference: Conference, exists: bool = True) -> list[Note]:
        """What is to be noted anew of a conference in which something happened."""
        before = self._noted.get(conference.number, {})
        now: dict[str, object] = {}
        found: list[Note] = []
        for key, made_of, make in _items(conference) if exists else ():
            now[key] = made_of
            if before.get(key) != made_of:
                found.append((key, make()))
        found += [(key, None) for key in before if key not in now]
        found += [(key, None) for key in self._answered if key not in now]
        self._answered = []
        if exists:
            self._noted[conference.number] = now
        else:
            self._noted.pop(conference.number, None)
        return found


def _items(conference: Conference) -> Iterable[tuple[str, object, Callable[[], Any]]]:
    """Key, what it depends on, and how it is made."""
    number, admission = conference.number, conference.admission
    made_of = (
        conference.next_member,
        _unanswered(conference),
        conference.speakers.dominant,
        admission.version,
        admission.epochs.version,
    )
    yield f"c{number}", made_of, lambda: _conference(conference)
    for member in conference.members.values():
        if not member.present:
            # Its DTLS would be lost.
            if member.call.delivered:
                yield f"j{number}.{member.number}", True, lambda member=member: _joining(member)  # type: ignore[misc]
            continue
        transport = member.transport
        yield (
            f"m{number}.{member.number}",
            (
                member.wishes.version,
                tuple(member.muted),
                tuple(member.pairs.items()),
                member.tokens.hashes,
                member.awaited_until is None,
            ),
            lambda member=member: _member(member),  # type: ignore[misc]
        )
        yield (
            f"t{number}.{member.number}",
            (
                transport.id,
                transport.agreement.revision,
                transport.ice,
                transport.keys is None,
                tuple(transport.sealed_sinks),
                tuple(transport.elsewhere.items()),
            ),
            lambda transport=transport: to_plain(transport.held()),  # type: ignore[misc]
        )


def _unanswered(conference: Conference) -> frozenset[tuple[str, str]]:
    """User and call of invites whose answers are on the way: they come again, and their proofs with them."""
    return frozenset(
        (member.call.user_id, member.call.call_id)
        for member in conference.members.values()
        if not member.present and not member.call.delivered
    )


def _joining(member: Member) -> Any:
    call = member.call
    return to_plain(_Joining(call.room_id, call.user_id, call.call_id, call.party_id))


def _conference(conference: Conference) -> Any:
    unanswered = _unanswered(conference)
    seen = tuple((*key, until) for key, until in conference.admission.seen.items() if key not in unanswered)
    value = _Conference(
        conference.creator,
        conference.conference_id,
        conference.next_member,
        conference.speakers.dominant,
        seen,
        conference.terms.voice,
        conference.terms.members_max,
    )
    return {**to_plain(value), "epochs": conference.admission.epochs.to_values()}


def _member(member: Member) -> Any:
    call = member.call
    return to_plain(
        _Member(
            member.device_id,
            call.room_id,
            call.user_id,
            call.call_id,
            call.party_id,
            member.present,
            tuple(member.muted),
            tuple(member.pairs.items()),
            tuple(_Said(*track, wish) for track, wish in member.wishes.all()),
            member.tokens.hashes,
            member.awaited_until is not None,
        )
    )


def read_back(
    notes: Mapping[str, Any], every: Sequence[Rows], rows: Rows, settings: Settings, now: float
) -> tuple[list[Conference], int, list[Effect]]:
    """The conferences of one worker as noted, how many notes were of no use, and what else follows.

    `rows` of that worker, `every` of all of them: members may be connected to others.
    """
    found: dict[int, Conference] = {}
    useless = 0
    effects: list[Effect] = []
    for key, value in notes.items():
        if key.startswith("c"):
            try:
                found[int(key[1:])] = _read_conference(int(key[1:]), value, every, rows, settings, now)
            except (KeyError, TypeError, ValueError, AttributeError):
                useless += 1
    for key, value in sorted(notes.items()):
        try:
            if key.startswith("j"):
                effects += _call_again(from_plain(_Joining, value), settings)
            if not key.startswith("m"):
                continue
            number, _, member = key[1:].partition(".")
            held = from_plain(HeldTransport, notes[f"t{number}.{member}"])
            own = every[held.worker] if 0 <= held.worker < len(every) else rows
            conference = found[int(number)]
            transport = Transport.of_before(own, settings.randomness, held)
            _read_member(conference, int(member), value, transport, now)
            conference.spread.take_over(transport, held.elsewhere)
        except (KeyError, TypeError, ValueError, AttributeError):
            useless += 1
    return list(found.values()), useless, effects


def read_former(
    notes: Mapping[str, Any], every: Sequence[Rows], rows: Rows, settings: Settings, now: float
) -> tuple[list[Conference], int, list[Effect]]:
    """As `read_back`, of a server with other tables: what it noted of rows means nothing here, and is not
    read. Its members are awaited, each with a stand-in for its connection."""
    found: dict[int, Conference] = {}
    useless = 0
    effects: list[Effect] = []
    for key, value in sorted(notes.items()):  # "c" before "m"
        number, _, member = key[1:].partition(".")
        try:
            if key.startswith("c"):
                found[int(number)] = _read_conference(int(number), value, every, rows, settings, now)
                found[int(number)].gathering = True
            elif key.startswith("j"):
                effects += _call_again(from_plain(_Joining, value), settings)
            elif key.startswith("m"):
                conference = found[int(number)]
                transport = stand_in(rows, settings.randomness)
                try:
                    read = _read_member(conference, int(member), value, transport, now)
                except BaseException:
                    transport.release()
                    raise
                read.awaited_until = now + limits.AWAITED_TIMEOUT
        except (KeyError, TypeError, ValueError, AttributeError, FullError):
            useless += 1
    return list(found.values()), useless, effects


def _call_again(joining: _Joining, settings: Settings) -> list[Effect]:
    call = Call.of_before(
        joining.room_id, joining.user_id, joining.call_id, joining.party_id, settings.party_id
    )
    return [
        CountMetric("members_left", names.SHUTTING_DOWN),
        call.hangup("unknown_error", names.SHUTTING_DOWN, _RESTARTED),
    ]


def _read_conference(
    number: int, value: Any, every: Sequence[Rows], rows: Rows, settings: Settings, now: float
) -> Conference:
    read = from_plain(_Conference, value)
    epochs = Epochs.from_values(value["epochs"])
    admission = Admission(epochs.current)
    admission.epochs = epochs
    admission.seen = {(user, call): until for user, call, until in read.seen}
    terms = Terms(read.voice, read.members_max)
    conference = Conference(
        read.creator, read.conference_id, number, every, rows, admission, settings, now, terms
    )
    conference.next_member = read.next_member
    if read.dominant is not None:
        conference.speakers.takes_floor(read.dominant)
    return conference


def _read_member(
    conference: Conference,
    number: int,
    value: Any,
    transport: Transport,
    now: float,
) -> Member:
    settings = conference.settings
    read: _Member = from_plain(_Member, value)
    call = Call.of_before(read.room_id, read.user_id, read.call_id, read.party_id, settings.party_id)
    member = Member(
        number=number,
        device_id=read.device_id,
        call=call,
        transport=transport,
        messages=Budget(limits.MESSAGES_PER_SECOND, limits.MESSAGE_BURST, now),
        negotiations=Budget(limits.NEGOTIATES_PER_SECOND, limits.NEGOTIATE_BURST, now),
        resumes=Budget(limits.RESUMES_PER_SECOND, limits.RESUME_BURST, now),
        tokens=Tokens(read.tokens),
        present=read.present,
        muted=frozenset(read.muted),
        pairs=dict(read.pairs),
    )
    for said in read.wishes:
        member.wishes.put((said.member, said.source), said.wish)
    member.assigned = member.version  # as it was noted, even where it would be assigned otherwise today
    if read.awaited:
        member.awaited_until = now + limits.AWAITED_TIMEOUT
        conference.gathering = True
    conference.members[number] = member
    conference.empty_since = None
    return member
