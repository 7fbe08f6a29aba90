"""How often somebody may call, and be told no: the bot's messages and a core's time are few."""

from collections import OrderedDict

from control.protocol import limits
from control.protocol.budget import Budget, Verdict
from control.protocol.call import refusal
from control.protocol.checked import ContentError, identifier
from control.protocol.events import CountMetric, Effect, MatrixCallEvent


class Scant:
    """The bot's messages, while its homeserver gives it few."""

    def __init__(self) -> None:
        self._until = float("-inf")

    def noticed(self, now: float) -> None:
        """The bot had to wait."""
        self._until = now + limits.INVITE_LIMITED_S

    def share(self, now: float) -> float:
        """Of what one person may have at other times."""
        return limits.INVITE_SHARE_LIMITED if now < self._until else 1.0


class Quotas:
    """Calls of one user, in one room, from one homeserver: each is up to 15 ms of work."""

    def __init__(self, scant: Scant) -> None:
        self._scant = scant
        self._budgets: OrderedDict[str, Budget] = OrderedDict()

    def spend(self, room_id: str, user_id: str, now: float) -> bool:
        """Takes one of each; False when one of them has none left, and of those after it nothing is taken:
        whoever calls on and on costs the others of a homeserver nothing."""
        server = user_id.partition(":")[2]
        share = self._scant.share(now)
        own = limits.INVITES_PER_SECOND, limits.INVITE_BURST, share
        return all(
            self._spend(*each, now)
            for each in (
                (room_id, *own),
                (user_id, *own),
                (server, limits.SERVER_INVITES_PER_SECOND, limits.SERVER_INVITE_BURST, 1.0),
            )
        )

    def _spend(self, key: str, rate: float, burst: int, share: float, now: float) -> bool:
        budget = self._budgets.pop(key, None) or Budget(rate, burst, now)
        self._budgets[key] = budget
        if len(self._budgets) > limits.INVITE_SENDERS_MAX:
            self._budgets.popitem(last=False)
        return budget.spend(now, share) is Verdict.PASS


class Refusals:
    """Says no, but not more often than the bot's own rate limit can bear.

    Answers to others wait behind it.
    """

    def __init__(self, own_party_id: str, scant: Scant) -> None:
        self._own_party_id = own_party_id
        self._scant = scant
        self._budgets: OrderedDict[str, Budget] = OrderedDict()

    def refuse(self, event: MatrixCallEvent, code: str, message: str, label: str, now: float) -> list[Effect]:
        """Counts, and answers unless the sender has been answered too often or has long given up."""
        effects: list[Effect] = [CountMetric("invites_refused", label)]
        call_id = call_id_untrusted(event)
        too_old = event.age_ms > limits.INVITE_LIFETIME_MAX_MS + limits.STALE_REPLY_MS
        if call_id is None or too_old or not self.may_answer(event.sender, now):
            return effects
        version = event.content.get("version")
        version_0 = type(version) is int and version == 0
        return [*effects, refusal(event.room_id, call_id, self._own_party_id, version_0, code, message)]

    def may_answer(self, sender: str, now: float) -> bool:
        """Also what is said again, or once more, in somebody's room: the bot's messages are few."""
        budget = self._budgets.pop(sender, None)
        if budget is None:
            budget = Budget(limits.REFUSALS_PER_SECOND, limits.REFUSAL_BURST, now)
        self._budgets[sender] = budget
        if len(self._budgets) > limits.REFUSAL_SENDERS_MAX:
            self._budgets.popitem(last=False)
        return budget.spend(now, self._scant.share(now)) is Verdict.PASS


def call_id_untrusted(event: MatrixCallEvent) -> str | None:
    """What a refusal has to name; None when the event has none that could be repeated."""
    try:
        return identifier(event.content.get("call_id"), "call_id")
    except (ContentError, AttributeError):
        return None
