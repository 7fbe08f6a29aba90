"""`make install-check` runs these; they make a root of their own and take longer than `make test` has."""

import os

collect_ignore_glob = [] if os.environ.get("SOTTO_INSTALL_CHECK") else ["test_*.py"]
