"""What `sotto explain` says of a member, by what is known of it."""

import pytest

from control.protocol.explain import MemberFacts, SourceFacts, explain


def said(facts: MemberFacts) -> str:
    return "\n".join(finding.text for finding in explain(facts))


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (SourceFacts("camera", False, 0.1), "camera: arrives."),
        (SourceFacts("camera", False, 0.1, 0.1), "camera: arrives, sealed end to end as RTP."),
        (SourceFacts("camera", False, 0.1, 60.0), "camera: arrives."),
        (SourceFacts("camera", False, 60.0, 60.0), "camera: nothing for 60 s."),
        (SourceFacts("camera", False, None), "camera: promised, but nothing has ever come."),
        (SourceFacts("camera", True, None), "camera: muted by themselves."),
    ],
)
def test_a_source_of_either_form(source: SourceFacts, says: str) -> None:
    facts = MemberFacts("open", 1.0, (source,), others=1, slots_used=1)
    assert says in said(facts).splitlines()


@pytest.mark.parametrize(("sealed", "told"), [(0, False), (3, True)])
def test_sealed_sources_that_come(sealed: int, told: bool) -> None:
    facts = MemberFacts("open", 1.0, slots_used=3, sealed=sealed, others=2)
    assert ("3 of the sources they get come sealed as RTP, on no slot." in said(facts).splitlines()) is told
    assert "Nothing is forwarded" not in said(facts)
    assert "Nothing is forwarded to them." in said(MemberFacts("open", 1.0, others=2))


def test_what_is_broken_first_hides_the_rest() -> None:
    facts = MemberFacts("open", None, (SourceFacts("camera", False, None),), others=2)
    assert [finding.level for finding in explain(facts)] == ["error"]
