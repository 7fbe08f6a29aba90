"""Changed inputs for everything that reads the network in Python: nothing but its own error comes out."""

import pytest

from tests.fuzz import parsers


@pytest.mark.parametrize("target", parsers.TARGETS)
def test_nothing_escapes(target: str):
    assert parsers.run(target, rounds=400) == 400
