#!/usr/bin/env bash
# Python's tests of the compiled core with the core under the address and undefined-behaviour sanitizers;
# afterwards the release build is back in place.
set -euo pipefail
source "$(dirname "$0")/common.sh"
trap 'tools/build.sh' EXIT
SOTTO_PROFILE=sanitize tools/build.sh
step "Tests of the core under the sanitizers"
# Leaks are the C tests' matter: the interpreter itself leaks by design. -p no:faulthandler: ASan reports better.
LD_PRELOAD=$(gcc -print-file-name=libasan.so):$(gcc -print-file-name=libubsan.so) \
    ASAN_OPTIONS=detect_leaks=0 "$VENV/bin/python" -m pytest -p no:faulthandler "${@:-tests/fastpath}"
