"""Members of a server that one with other tables replaced: they are known, and their media is elsewhere.

Their conferences are read back from the former server's notes with a stand-in for each connection: a row that
nobody can reach. Each member brings a second connection, as after any interruption (resumption.py), and those
of one conference take over together: whoever moved alone would miss the others until they followed.
"""

from collections.abc import Mapping

from control.protocol import limits
from control.protocol.allocation import Randomness, Rows
from control.protocol.conference import Conference
from control.protocol.events import CountMetric, Effect
from control.protocol.member import Member
from control.protocol.sdp_agreement import Agreement, DataSection
from control.protocol.transport import Transport

_NOTHING = Agreement("none", "", (), False, (), (), DataSection("", 0, 0), (), (), (), 1)


def stand_in(rows: Rows, randomness: Randomness) -> Transport:
    """For a connection that a former server carries: nobody is told how to reach it. FullError."""
    return Transport(rows, randomness, _NOTHING)


def awaited(members: Mapping[int, Member]) -> list[Member]:
    """Those who have not come over yet."""
    return [member for member in members.values() if member.awaited_until is not None]


def opened(conference: Conference, member: Member, now: float) -> bool:
    """The channel of an awaited member's second connection is open. True: it waits for the others."""
    if conference.gathering and member.awaited_until is not None and member.coming is not None:
        member.coming.opened = True
        if conference.together_at is None:
            conference.together_at = now + limits.GATHER_TIMEOUT
        return True
    return False


def ready(conference: Conference, now: float) -> list[Member]:
    """Those who take over now, together: when all are there, or have been waited for."""
    if not conference.gathering:
        return []
    missing = awaited(conference.members)
    come = [member for member in missing if member.coming is not None and member.coming.opened]
    late = conference.together_at is not None and now >= conference.together_at
    if len(come) < len(missing) and not late:
        return []
    conference.gathering, conference.together_at = False, None
    return come


def give_up(conference: Conference, now: float) -> list[Effect]:
    """Who did not come, and never will."""
    effects: list[Effect] = []
    for member in awaited(conference.members):
        if member.awaited_until is not None and member.awaited_until <= now:
            member.awaited_until = None
            effects += [CountMetric("resumes_ended", "never_came"), *conference.lost(member, now)]
    return effects
