"""Which form everything has that one build of this program leaves to another: tables, rings, what processes
hand to each other.

A build with the same one takes over in place, another one has calls move over (moving.py).
"""

from fastpath_ext.table import LAYOUT_VERSION

FORM = 1
"""Of the descriptors themselves and what is said about them (handover.py). Raised with a change that a build
before it would misread; the names that control/moving.py reads stay what they are."""


def layout() -> str:
    return f"{LAYOUT_VERSION}.{FORM}"
