# Sourced by the scripts beside it: where things are, and how we talk.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ROOT=$PWD
VENV=$ROOT/.venv
STAMPS=$ROOT/build/stamps
mkdir -p "$STAMPS"

STARTED=$SECONDS
step() { printf '\033[1m==>\033[0m %s\n' "$*"; }
note() { printf '    %s\n' "$*"; }
die() { printf '\033[1m!!!\033[0m %s\n' "$*" >&2; exit 1; }
took() { note "done in $((SECONDS - STARTED)) s"; STARTED=$SECONDS; }

# quietly LOG COMMAND...: run it, show its last lines only when it fails.
quietly() {
    local log=$ROOT/build/$1
    shift
    if ! "$@" >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        die "failed: $* (the whole output is in ${log#"$ROOT"/})"
    fi
}

# unchanged STAMP TEXT: true when the last `remember STAMP TEXT` said the same.
unchanged() { [ -f "$STAMPS/$1" ] && [ "$(cat "$STAMPS/$1")" = "$2" ]; }
remember() { printf '%s' "$2" >"$STAMPS/$1"; }
