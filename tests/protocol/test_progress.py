"""Which position is stored: one before which nothing is left to do."""

from hypothesis import given
from hypothesis import strategies as st

from control.protocol.progress import Progress


def test_with_nothing_to_do_every_position_counts() -> None:
    progress = Progress()
    assert progress.take() is None
    progress.reached("a")
    assert progress.take() == "a"
    assert progress.take() is None
    progress.reached("b")
    progress.reached("c")
    assert progress.take() == "c"


def test_what_is_begun_holds_back_what_comes_after_it() -> None:
    progress = Progress()
    first = progress.begin()
    progress.reached("a")
    assert progress.take() is None
    second = progress.begin()
    progress.reached("b")
    first()
    assert progress.take() == "a"
    progress.begin()  # of the next answer
    second()
    second()  # twice is once
    assert progress.take() == "b"
    progress.reached("c")
    assert progress.take() is None


def test_a_homeserver_that_takes_nothing_for_a_day_costs_no_memory() -> None:
    progress = Progress()
    done = progress.begin()
    for number in range(10_000):
        progress.reached(str(number))
    assert len(progress._reached) == 1
    done()
    assert progress.take() == "9999"


@given(st.lists(st.one_of(st.just("begin"), st.just("reach"), st.integers(0, 20)), max_size=60))
def test_nothing_that_is_left_to_do_lies_before_the_stored_position(steps: list) -> None:
    progress = Progress()
    ends, unfinished, reached, stored = [], {}, 0, 0
    for step in steps:
        if step == "begin":
            unfinished[len(ends)] = reached  # found behind this position
            ends.append(progress.begin())
        elif step == "reach":
            reached += 1
            progress.reached(str(reached))
        elif step < len(ends):
            ends[step]()
            unfinished.pop(step, None)
        if (token := progress.take()) is not None:
            assert int(token) > stored
            stored = int(token)
        assert stored == min(unfinished.values(), default=reached)
