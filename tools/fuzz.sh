#!/usr/bin/env bash
# Fuzzes every parser of network bytes and the whole forwarding core: see tests/fuzz.
#   tools/fuzz.sh                   each target for TIME seconds (60), with clang's libFuzzer; the corpora in build/fuzz/corpus grow
#   tools/fuzz.sh quick             all of them together in about SECONDS_ALL (100), beginning at the same number; without libFuzzer
#                                   every seed, each of its lengths, and changed copies of it are replayed instead
#   ONLY="stun rtp" tools/fuzz.sh   these targets alone
# What stops a target is in build/fuzz/found, and its report beside it; `build/fuzz/fuzzers/TARGET FILE` shows it again.
set -euo pipefail
source "$(dirname "$0")/common.sh"
OUT=$ROOT/build/fuzz
mkdir -p "$OUT/found" "$OUT/corpus" "$OUT/logs"
JOBS=$(nproc)
export ASAN_OPTIONS=detect_leaks=0:${ASAN_OPTIONS:-}

find_clang() { # one that can link libFuzzer
    local name
    for name in ${CLANG:-} clang clang-19 clang-16 clang-14; do
        command -v "$name" >/dev/null && printf 'int LLVMFuzzerTestOneInput(const char *d, long n) { return d && n < 0; }' |
            "$name" -fsanitize=fuzzer,address -x c - -o "$OUT/probe" 2>/dev/null && echo "$name" && return
    done
}

one() { # one TARGET SECONDS: libFuzzer
    local target=$1 seconds=$2
    mkdir -p "$OUT/corpus/$target" "$OUT/seeds/$target"
    "$OUT/fuzzers/$target" ${SEED:+-seed=$SEED} -max_total_time="$seconds" -max_len=2048 -timeout=100 -rss_limit_mb=1500 -print_final_stats=1 \
        -artifact_prefix="$OUT/found/$target-" "$OUT/corpus/$target" "$OUT/seeds/$target" >"$OUT/logs/$target.log" 2>&1 ||
        { echo "$target" >>"$OUT/failed"; return 0; }
    printf '    %-14s %9s runs, covers %5s edges\n' "$target" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$OUT/logs/$target.log")" \
        "$(grep -oE 'cov: [0-9]+' "$OUT/logs/$target.log" | tail -1 | tr -dc 0-9)"
}
replay() { # replay TARGET
    "$OUT/replays/$1" "$OUT/seeds/$1" >"$OUT/logs/$1.log" 2>&1 || { echo "$1" >>"$OUT/failed"; return 0; }
    printf '    %-14s %s\n' "$1" "$(tail -1 "$OUT/logs/$1.log")"
}

targets=(${ONLY:-$(make --no-print-directory -s -C tests/fuzz/core names)})
"$VENV/bin/python" -m tests.fuzz.seeds "$OUT/seeds" >/dev/null
clang=$(find_clang)
rm -f "$OUT/failed"
if [ -n "$clang" ]; then
    step "Fuzzing with $("$clang" --version | head -1)"
    quietly fuzz-build.log make --no-print-directory -C tests/fuzz/core -j"$JOBS" CLANG="$clang" fuzzers
    took
    if [ "${1:-}" = quick ]; then
        SEED=1 seconds=$((${SECONDS_ALL:-100} * JOBS / ${#targets[@]}))
    else
        seconds=${TIME:-60}
    fi
    for target in "${targets[@]}"; do
        while [ "$(jobs -rp | wc -l)" -ge "$JOBS" ]; do wait -n; done
        one "$target" "$seconds" &
    done
else
    [ "${1:-}" = quick ] || die "no clang with libFuzzer here (tools/setup.sh fuzz installs Debian's)"
    note "no clang with libFuzzer here: the seeds are replayed"
    quietly fuzz-build.log make --no-print-directory -C tests/fuzz/core -j"$JOBS" replays
    took
    for target in "${targets[@]}"; do
        while [ "$(jobs -rp | wc -l)" -ge "$JOBS" ]; do wait -n; done
        ROUNDS=${ROUNDS:-20} replay "$target" &
    done
fi
wait
took
if [ -s "$OUT/failed" ]; then
    for target in $(cat "$OUT/failed"); do tail -n 25 "$OUT/logs/$target.log" >&2; done
    die "stopped: $(tr '\n' ' ' <"$OUT/failed")(build/fuzz/found, build/fuzz/logs)"
fi
if [ "${1:-}" != quick ] && [ -z "${ONLY:-}" ]; then
    step "Fuzzing the parsers of control"
    "$VENV/bin/python" -c 'import atheris' 2>/dev/null ||
        "$VENV/bin/python" tools/requirements.py fuzz | xargs -d '\n' "$VENV/bin/python" -m pip install -q --only-binary :all: ||
        note "no wheel of atheris for this Python: changes are made at random"
    "$VENV/bin/python" -m tests.fuzz.parsers --seconds "${TIME:-60}"
fi
