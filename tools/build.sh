#!/usr/bin/env bash
# Compile the extensions in place and make `sotto` and `import control` work from anywhere in .venv.
# SOTTO_PROFILE chooses release (default), debug, sanitize or coverage; nothing is done when nothing changed.
set -euo pipefail
source "$(dirname "$0")/common.sh"
export SOTTO_PROFILE=${SOTTO_PROFILE:-release}

sources() { cat setup.py; find fastpath fastpath_ext -name '*.[ch]' -o -name '*.p[yx]*' | sort | xargs -r sha256sum; }
state=$(sources | sha256sum)
if ! unchanged extensions "$SOTTO_PROFILE $state"; then
    step "Compiling the forwarding core ($SOTTO_PROFILE)"
    # Objects of another profile must not be mixed in: each profile has its own folder, the last link wins.
    quietly build.log "$VENV/bin/python" setup.py build_clib --build-temp "build/$SOTTO_PROFILE/c" \
        --build-clib "build/$SOTTO_PROFILE" build_ext --inplace --build-temp "build/$SOTTO_PROFILE/ext" --parallel 2 \
        $(unchanged profile "$SOTTO_PROFILE" || echo --force)
    remember profile "$SOTTO_PROFILE"
    remember extensions "$SOTTO_PROFILE $state"
    took
fi

# The entry point; the packages themselves are read from this folder.
entry=$(grep -A1 '^\[project.scripts\]' pyproject.toml)
if ! unchanged entry "$VENV $entry"; then
    step "Installing the sotto command into .venv"
    SOTTO_ALREADY_BUILT=1 quietly install.log "$VENV/bin/python" -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e .
    remember entry "$VENV $entry"
    took
fi
