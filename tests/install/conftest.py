"""`make install-check` and `make container-check` run these; they take longer than `make test` has."""

import os

_ASKED = {"test_container.py": "SOTTO_CONTAINER_CHECK"}
"""The variable that asks for a file, where it is not SOTTO_INSTALL_CHECK."""


def pytest_ignore_collect(collection_path) -> bool | None:
    if not collection_path.name.startswith("test_"):
        return None
    return None if os.environ.get(_ASKED.get(collection_path.name, "SOTTO_INSTALL_CHECK")) else True
