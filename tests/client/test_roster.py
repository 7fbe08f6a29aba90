"""Who is in the conference, by what the focus says."""

from __future__ import annotations

from client.protocol import limits
from client.protocol.messages import Member, Members
from client.roster import Roster


def member(number: int) -> Member:
    return Member(number, f"@u{number}:x", f"D{number}", False, False, ("audio", "camera"))


def part(*numbers: int, gone: tuple[int, ...] = (), reset: bool = False, more: bool = False) -> Members:
    return Members(reset, tuple(member(each) for each in numbers), gone, more)


def test_a_whole_roster_that_comes_in_parts_is_one_and_nobody_has_left_in_between() -> None:
    roster = Roster()
    roster.apply(part(1, 2, 3, reset=True), 1)
    assert roster.gather(part(1, reset=True, more=True)) is None
    assert roster.gather(part(9, more=True)) is None
    # From the beginning: over another connection.
    assert roster.gather(part(1, reset=True, more=True)) is None
    assert roster.gather(part(2, 4, more=True)) is None
    whole = roster.gather(part(5, gone=(4,)))
    assert whole is not None
    changes = roster.apply(whole, 1)
    assert changes.gone == (member(3),)
    assert changes.new == (member(5),)
    assert list(roster.members) == [1, 2, 5]
    change = part(6, gone=(2,))
    assert roster.gather(change) is change


def test_a_roster_without_end_is_taken_as_far_as_it_goes() -> None:
    roster = Roster()
    assert roster.gather(part(1, reset=True, more=True)) is None
    whole = roster.gather(part(*range(2, limits.MEMBERS_MAX + 2), more=True))
    assert whole is not None
    assert len(whole.present) == limits.MEMBERS_MAX + 1
    # What follows is as any change.
    assert roster.gather(part(7, more=True)) == part(7, more=True)
