"""`make upgrade-check` runs these: two browsers and two builds take longer than `make test` has."""

import os

collect_ignore_glob = [] if os.environ.get("SOTTO_UPGRADE_CHECK") else ["test_*.py"]
