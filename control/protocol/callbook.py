"""What became of the latest calls: how long each part of a join took, why somebody was refused or is gone.

For figures, log lines and `sotto explain`. It decides nothing; the focus tells it what happened and whoever
runs the focus takes its `news`.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from control.protocol import names
from control.protocol.events import CloseTransport, CountMetric, Effect
from control.protocol.reference import reference

KEPT: Final = 1000
"""Calls remembered. More: memory (some 500 bytes each). Fewer: whoever asks late is told nothing."""
NEWS_MAX: Final = 4096
"""Items that wait to be taken: never as many as this, unless nobody takes them."""
ANSWER, ICE, DTLS, CHANNEL, PICTURE = "answer", "ice", "dtls", "channel", "picture"
PHASES: Final = (ANSWER, ICE, DTLS, CHANNEL, PICTURE)
"""Parts of a join, in order: from the invite's sending to our answer, to the first check that authenticates,
to the hop's keys, to the open data channel, to the first key frame that is forwarded to the member."""
_AFTER: Final = {ICE: ANSWER, DTLS: ICE, CHANNEL: DTLS, PICTURE: CHANNEL}


@dataclass(frozen=True, slots=True)
class Observed:
    """A value for a histogram of control.metrics."""

    name: str
    label: str
    value: float


@dataclass(frozen=True, slots=True)
class Line:
    """Something about one call for the log. `detail`: only for whoever looks closely."""

    reference: str
    text: str
    detail: bool = False


@dataclass(slots=True)
class Record:
    """One call. `at`: when each phase ended, in seconds of the focus's clock."""

    reference: str
    user_id: str
    began: float  # when the invite was sent, as far as the homeserver knows
    at: dict[str, float] = field(default_factory=dict)
    code: str = ""  # of the refusal, or why it ended
    text: str = ""  # the refusal as the client was told
    refused: bool = False
    ended_at: float | None = None

    @property
    def furthest(self) -> str:
        return next((phase for phase in reversed(PHASES) if phase in self.at), "")


class CallBook:
    """Of one focus. People's ids are in it, in memory and for so long only."""

    def __init__(self) -> None:
        self.news: deque[Observed | Line | CountMetric] = deque(maxlen=NEWS_MAX)
        self._records: OrderedDict[str, Record] = OrderedDict()

    def find(self, name: str) -> list[Record]:
        """Of a reference or a user id, the latest first."""
        return [each for each in reversed(self._records.values()) if name in (each.reference, each.user_id)]

    def answered(self, call_id: str, user_id: str, age_ms: int, where: str, now: float) -> None:
        """`where` names conference and member by numbers."""
        record = self._begin(call_id, user_id, age_ms, now)
        self._reach(record, ANSWER, now - record.began, now)
        self._say(record, f"answered: {where}")

    def refused(
        self, call_id: str, user_id: str, age_ms: int, code: str, text: str, now: float, answered: bool = True
    ) -> None:
        """`answered`: they were told. Who is refused too often is not, and does not fill the log either."""
        record = self._begin(call_id, user_id, age_ms, now)
        record.refused, record.code, record.text, record.ended_at = True, code, text, now
        self._say(record, f"refused: {code}", detail=not answered)

    def reached(self, call_id: str, phase: str, now: float) -> None:
        """The first time counts: a second connection is no join."""
        record = self._records.get(reference(call_id))
        if record is None or phase in record.at or record.ended_at is not None:
            return
        since = record.at.get(_AFTER[phase])
        if since is None and phase == DTLS:  # the message that told of ICE was lost
            since = record.at.get(ANSWER)
        if since is not None:
            self._reach(record, phase, now - since, now)

    def ended(self, effects: Sequence[Effect], closed: CloseTransport, call_id: str, now: float) -> None:
        """`effects`: what ended it, of which the last reason before `closed` is its own."""
        record = self._records.get(reference(call_id))
        if record is None or record.ended_at is not None:
            return
        before = effects[: effects.index(closed)]
        reasons = [*_labels(before, "members_left")]
        record.code, record.ended_at = reasons[-1] if reasons else "", now
        self._count_failure(record, counted=any(_labels(effects, "dtls_failures")))
        self._say(record, f"ended: {record.code}, {now - record.began:.1f} s after it began")

    def _count_failure(self, record: Record, counted: bool) -> None:
        match record.code, record.furthest:
            case names.ICE_FAILED, "answer":
                self.news.append(CountMetric("ice_failures", "no_check"))
            case names.ICE_FAILED, "ice":
                self.news.append(CountMetric("dtls_failures", "timeout"))
            case names.ICE_FAILED, _:
                self.news.append(CountMetric("ice_failures", "consent_expired"))
            case names.DTLS_FAILED, _ if not counted:
                self.news.append(CountMetric("dtls_failures", "no_channel"))

    def _begin(self, call_id: str, user_id: str, age_ms: int, now: float) -> Record:
        name = reference(call_id)
        record = self._records[name] = Record(name, user_id, now - max(age_ms, 0) / 1000)
        self._records.move_to_end(name)
        if len(self._records) > KEPT:
            self._records.popitem(last=False)
        return record

    def _reach(self, record: Record, phase: str, seconds: float, now: float) -> None:
        record.at[phase] = now
        self.news.append(Observed("join_phase_seconds", phase, seconds))
        self._say(record, f"{phase} after {seconds:.2f} s", detail=True)
        if phase == CHANNEL:
            self.news.append(Observed("join_seconds", "", now - record.began))
            parts = ", ".join(f"{part} {record.at[part] - record.began:.2f}" for part in record.at)
            self._say(record, f"joined; seconds from the invite: {parts}")

    def _say(self, record: Record, text: str, detail: bool = False) -> None:
        self.news.append(Line(record.reference, text, detail))


def _labels(effects: Sequence[Effect], name: str) -> Iterator[str]:
    """Of one counter."""
    for effect in effects:
        if isinstance(effect, CountMetric) and effect.name == name:
            yield effect.label
