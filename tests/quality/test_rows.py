"""Rows: what counts as a miss, and that a miss is never without a reason."""

from __future__ import annotations

from benchmarks.quality.rows import GOALS, failed, merged, of_simulation, row, table, told


def test_a_goal_is_met_from_the_better_side() -> None:
    assert row("recover_s", 8.0, "").ok
    assert not row("recover_s", 8.1, "").ok
    assert row("fairness", 0.9, "").ok
    assert not row("fairness", 0.89, "").ok


def test_a_clamp_may_not_exceed_what_it_is_held_to() -> None:
    assert [row("clamp_accuracy", value, "").ok for value in (0.84, 0.85, 1.0, 1.01)] == [
        False,
        True,
        True,
        False,
    ]


def test_what_was_not_measured_is_a_miss_that_says_why() -> None:
    (one,) = failed(["recover_s"], "the browser did not start")
    assert one.to_json() | {"note": ""} == {
        "name": "recover_s",
        "value": None,
        "unit": "s",
        "goal": 8,
        "better": "lower",
        "ok": False,
        "note": "",
        "why": "the browser did not start",
    }


def test_what_stands_beside_is_not_judged() -> None:
    assert row("audio_concealed_5", None, "").ok
    assert told("anything", 5, "ms", "").to_json()["ok"]


def test_the_table_names_every_row_and_why_it_missed() -> None:
    rows = [row("recover_s", 9, "", "the estimate stayed at 1 Mbit/s"), row("fairness", 0.95, "")]
    lines = table(rows).splitlines()
    assert [line.split()[0] for line in lines if line[0] != " "] == ["recover_s", "fairness"]
    assert "MISSED" in lines[0]
    assert "stayed at 1 Mbit/s" in lines[1]


def test_a_row_measured_again_replaces_the_first() -> None:
    first = [row("recover_s", 9, ""), row("fairness", 0.95, "")]
    assert [(one.name, one.value) for one in merged([first, [row("recover_s", 4, "")]])] == [
        ("recover_s", 4),
        ("fairness", 0.95),
    ]


def test_rows_of_the_simulation() -> None:
    found = {
        "name": "bwe_steady_1_utilisation",
        "value": 0.9,
        "unit": "share",
        "goal": 0.85,
        "better": "higher",
    }
    (one,) = of_simulation([found | {"worst": 0.88}])
    assert (one.name, one.ok) == ("sim_steady_1_utilisation", True)


def test_every_row_that_was_asked_for_has_a_goal() -> None:
    judged = {name for name, goal in GOALS.items() if goal.goal is not None}
    assert len(judged) == 20
