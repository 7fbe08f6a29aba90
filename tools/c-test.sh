#!/usr/bin/env bash
# The C core's own tests, plain and under the address and undefined-behaviour sanitizers: see tests/fastpath/c.
set -euo pipefail
source "$(dirname "$0")/common.sh"

step "Tests of the C core"
quietly c-test-build.log make --no-print-directory -C tests/fastpath/c -j2 all
make --no-print-directory --silent -C tests/fastpath/c run || die "a C test failed"
took
