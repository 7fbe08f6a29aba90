"""What is given out: handles, incarnations, SSRCs, credentials."""

import re

import pytest

from control.protocol.allocation import FullError, Row, RowAllocator
from tests.protocol.people import randomness


def test_lowest_handles_first_and_each_time_another_incarnation() -> None:
    rows = RowAllocator(3, 0)
    first, second, third = rows.take(), rows.take(), rows.take()
    assert [row.handle for row in (first, second, third)] == [0, 1, 2]
    with pytest.raises(FullError):
        rows.take()
    rows.give_back(second)
    rows.give_back(first)
    again = rows.take()
    assert again.handle == 0
    assert again.incarnation not in (first.incarnation, second.incarnation, third.incarnation)
    assert rows.in_use == 2


def test_an_incarnation_is_never_0() -> None:
    rows = RowAllocator(5, 2**32 - 3)
    assert [rows.take().incarnation for _ in range(5)] == [2**32 - 2, 2**32 - 1, 1, 2, 3]


def test_what_a_former_process_left_is_not_given_out() -> None:
    rows = RowAllocator(5, 0, {1, 3})
    assert [rows.take().handle for _ in range(3)] == [0, 2, 4]
    with pytest.raises(FullError):
        rows.take()
    rows.give_back(Row(2, 2))
    assert rows.take().handle == 2


def test_what_a_former_process_left_comes_back_once_it_is_free() -> None:
    rows = RowAllocator(4, 0, {1, 3})
    assert [rows.take().handle for _ in range(2)] == [0, 2]
    rows.free({1})
    rows.free({1, 2})  # told twice, or of rows that are ours: nothing is given out twice
    assert rows.take().handle == 1
    with pytest.raises(FullError):
        rows.take()
    rows.free({3})
    assert rows.take().handle == 3
    assert rows.in_use == 4


def test_ssrcs_are_never_0_and_never_taken() -> None:
    source = randomness()
    answers = iter([bytes(4), b"\0\0\0\1", b"\0\0\0\2"])
    scripted = type(source)(lambda size: next(answers), source.make_ufrag)
    assert scripted.ssrc({1}) == 2


def test_credentials_are_as_ice_wants_them() -> None:
    source = randomness()
    assert re.fullmatch(r"[A-Za-z0-9+/]{12}", source.ufrag(7))
    assert re.fullmatch(r"[A-Za-z0-9+/]{24}", source.pwd())
    assert len({source.pwd() for _ in range(100)}) == 100
