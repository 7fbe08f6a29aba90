#!/usr/bin/env bash
# The C core's own tests: each tests/fastpath/c/test_*.c becomes a program with all of fastpath/, under the
# address and undefined-behaviour sanitizers, once per crypto backend this machine has.
set -euo pipefail
source "$(dirname "$0")/common.sh"
shopt -s nullglob
tests=(tests/fastpath/c/test_*.c)
[ ${#tests[@]} -gt 0 ] || { note "no C tests yet"; exit 0; }

step "C tests (address and undefined-behaviour sanitizers)"
backends=(openssl)
[ -f /usr/include/intel-ipsec-mb.h ] && backends+=(ipsec-mb)
for backend in "${backends[@]}"; do
    make --no-print-directory --silent -j2 -f tools/c-test.mk BACKEND="$backend"
done
for backend in "${backends[@]}"; do
    for test in "${tests[@]}"; do
        program=build/c-test/$backend/$(basename "$test" .c)
        if ! output=$("$program" 2>&1); then
            printf '%s\n' "$output" >&2
            die "failed: $program"
        fi
        note "$backend $(basename "$test" .c): ok"
    done
done
took
