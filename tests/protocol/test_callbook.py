"""What is remembered of calls: how long a join took, why somebody is not there."""

import pytest

from control.protocol import names
from control.protocol.callbook import CHANNEL, DTLS, ICE, KEPT, PICTURE, CallBook, Line, Observed
from control.protocol.events import CloseTransport, CountMetric, TransportId
from control.protocol.explain import explain_past
from control.protocol.reference import ALPHABET, read_reference, reference

ALICE = "@alice:example.org"
CLOSED = CloseTransport(TransportId(0, 1, 1), silent=False)


def test_a_reference_is_made_of_the_call_id_alone():
    # The same in the clients: tests/client/test_reference.py, web/test/reference.test.ts.
    assert reference("1732358400-abc") == "S6B-S3R"
    assert all(letter in ALPHABET for letter in reference("x").replace("-", ""))
    assert reference("a") != reference("b")


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("K7M-2QX", "K7M-2QX"),
        (" k7m2qx ", "K7M-2QX"),
        ("k7m 2qx", "K7M-2QX"),
        ("OIL-000", "011-000"),
        ("@alice:example.org", None),
        ("K7M-2Q", None),
        ("", None),
    ],
)
def test_what_is_typed_of_it(typed: str, read: str | None):
    assert read_reference(typed) == read


def test_each_part_of_a_join_is_measured_once():
    book = CallBook()
    book.answered("call", ALICE, 400, "conference 1, member 1", 10.0)
    for at, phase in (
        (10.2, ICE),
        (10.5, DTLS),
        (10.6, CHANNEL),
        (11.6, PICTURE),
        (20.0, ICE),
        (21.0, PICTURE),
    ):
        book.reached("call", phase, at)
    seen = {(n.name, n.label): round(n.value, 3) for n in book.news if isinstance(n, Observed)}
    assert seen == {
        ("join_phase_seconds", "answer"): 0.4,
        ("join_phase_seconds", "ice"): 0.2,
        ("join_phase_seconds", "dtls"): 0.3,
        ("join_phase_seconds", "channel"): 0.1,
        ("join_phase_seconds", "picture"): 1.0,
        ("join_seconds", ""): 1.0,
    }
    lines = [n.text for n in book.news if isinstance(n, Line) and not n.detail]
    assert lines == [
        "answered: conference 1, member 1",
        "joined; seconds from the invite: answer 0.40, ice 0.60, dtls 0.90, channel 1.00",
    ]
    assert not any(ALICE in line for line in lines)


@pytest.mark.parametrize(
    ("reached", "reason", "counted", "expected", "explained"),
    [
        ([], names.ICE_FAILED, False, CountMetric("ice_failures", "no_check"), "not one packet"),
        ([ICE], names.ICE_FAILED, False, CountMetric("dtls_failures", "timeout"), "DTLS"),
        (
            [ICE, DTLS, CHANNEL],
            names.ICE_FAILED,
            False,
            CountMetric("ice_failures", "consent_expired"),
            "30 s",
        ),
        ([ICE, DTLS], names.DTLS_FAILED, False, CountMetric("dtls_failures", "no_channel"), "data channel"),
        ([ICE], names.DTLS_FAILED, True, None, "DTLS"),
        ([ICE, DTLS, CHANNEL], "hangup", False, None, "They left"),
    ],
)
def test_an_end_is_counted_by_its_cause(reached, reason, counted, expected, explained):
    book = CallBook()
    book.answered("call", ALICE, 0, "", 0.0)
    for phase in reached:
        book.reached("call", phase, 1.0)
    failed = [CountMetric("dtls_failures", "fingerprint")] if counted else []
    effects = [*failed, CountMetric("members_left", "other"), CountMetric("members_left", reason), CLOSED]
    book.ended(effects, CLOSED, "call", 30.0)
    assert [n for n in book.news if isinstance(n, CountMetric)] == ([expected] if expected else [])
    (record,) = book.find(reference("call"))
    (finding,) = explain_past(record, 40.0)
    assert explained in finding.text
    assert "10 s ago" in finding.text
    assert (finding.level == "error") == (reason != "hangup")


def test_a_refusal_is_found_by_person_and_by_reference():
    book = CallBook()
    book.refused("call", ALICE, 70_000, names.STALE, "The call arrived after its lifetime: join again.", 5.0)
    assert book.find(ALICE) == book.find(reference("call"))
    (finding,) = explain_past(book.find(ALICE)[0], 15.0)
    assert finding.text.startswith("Refused 10 s ago (stale): The call arrived")
    assert finding.fix


def test_old_calls_are_forgotten():
    book = CallBook()
    for number in range(KEPT + 10):
        book.refused(f"call{number}", ALICE, 0, names.FULL, "", 0.0)
    assert len(book.find(ALICE)) == KEPT
