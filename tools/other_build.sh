#!/usr/bin/env bash
# Builds this program once more in build/other with another shared table, for tests of upgrades that change it:
#   tools/other_build.sh && SOTTO_OTHER_BUILD=build/other pytest tests/client/test_upgrading.py
set -euo pipefail
source "$(dirname "$0")/common.sh"
OUT=$ROOT/build/other
state=$({ cat setup.py "$0"; git ls-files -s fastpath fastpath_ext control; git diff -- fastpath fastpath_ext control; } | sha256sum)
if ! unchanged other "$state"; then
    step "Compiling a build with other tables"
    rm -rf "$OUT"
    mkdir -p "$OUT"
    cp -r fastpath fastpath_ext control setup.py pyproject.toml README.md "$OUT"
    rm -f "$OUT"/fastpath_ext/*.so
    # Longer rows of the state segment, and the version that every such change has.
    version=$(sed -nE 's/^#define TABLE_LAYOUT_VERSION ([0-9]+)u.*/\1/p' fastpath/table.h)
    sed -i -E "s/^#define TABLE_LAYOUT_VERSION .*/#define TABLE_LAYOUT_VERSION $((version + 1))u/" "$OUT/fastpath/table.h"
    sed -i -E 's/^#define LIMIT_PATHS .*/#define LIMIT_PATHS 6/' "$OUT/fastpath/limits.h"
    ! cmp -s fastpath/table.h "$OUT/fastpath/table.h" && ! cmp -s fastpath/limits.h "$OUT/fastpath/limits.h" || die "nothing was changed"
    (cd "$OUT" && quietly other-build.log "$VENV/bin/python" setup.py -q build_clib --build-temp c --build-clib build/release \
        build_ext --inplace --build-temp ext --parallel 2)
    remember other "$state"
    took
fi
