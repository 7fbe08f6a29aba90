#!/usr/bin/env bash
# The C core's own tests under valgrind's memcheck: what the sanitizers do not see (memory that was never written), in the code as it
# is released. ONLY="srtp rtp" for these alone; TIME=seconds that one may take (120): what takes longer is stopped and named, and counts
# by what it did until then.
# Left out are tests that kill or simulate thousands of times, where memcheck would take hours: all they call is called by the others.
set -euo pipefail
source "$(dirname "$0")/common.sh"
command -v valgrind >/dev/null || die "valgrind is missing: apt-get install valgrind"
LONG=" bandwidth_simulation forward_kill srtp_kill handover_ring table adaptation "
OUT=$ROOT/build/valgrind
mkdir -p "$OUT"
rm -f "$OUT"/*.log "$OUT/failed" "$OUT/stopped"

step "Tests of the C core under valgrind"
quietly c-test-build.log make --no-print-directory -C tests/fastpath/c -j2 plain
one() { # one NAME
    # Own frames alone: libcrypto reads ahead of what it was given, on purpose.
    # Some tests have a scene of megabytes on the stack, which it would take for another stack.
    timeout "${TIME:-120}" valgrind -q --max-stackframe=16777216 --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite --trace-children=no \
        --suppressions=tools/valgrind.supp "build/ctest/plain/test_$1" >"$OUT/$1.log" 2>&1 && return || code=$?
    if [ "$code" = 124 ] && ! grep -q '^==' "$OUT/$1.log"; then echo "$1" >>"$OUT/stopped"; else echo "$1 ($code)" >>"$OUT/failed"; fi
}
names=(${ONLY:-$(cd tests/fastpath/c && ls test_*.c | sed -E 's/^test_(.*)\.c$/\1/')})
for name in "${names[@]}"; do
    [[ -z ${ONLY:-} && $LONG == *" $name "* ]] && continue
    while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
    one "$name" &
done
wait
took
[ -s "$OUT/stopped" ] && note "without an error, but stopped after ${TIME:-120} s: $(sort "$OUT/stopped" | tr '\n' ' ')"
if [ -s "$OUT/failed" ]; then
    for name in $(cut -d' ' -f1 "$OUT/failed"); do tail -n 30 "$OUT/$name.log" >&2; done
    die "failed: $(tr '\n' ' ' <"$OUT/failed")(build/valgrind)"
fi
