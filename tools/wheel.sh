#!/usr/bin/env bash
# The source distribution, and one wheel for every Python from 3.11 on, with the compiled core, the libraries it
# needs and the browser client inside, into dist/. It runs on systems whose C library is at least as new as this one's needs (auditwheel says it
# in the file's name).
set -euo pipefail
source "$(dirname "$0")/common.sh"
[ -f web/dist/index.html ] || die "no browser client in web/dist: make web"
if ! "$VENV/bin/python" -c 'import auditwheel, wheel' 2>/dev/null; then
    "$VENV/bin/python" tools/requirements.py wheel | quietly pip.log xargs -d '\n' "$VENV/bin/python" -m pip install --disable-pip-version-check
fi

step "Compiling the wheel"
rm -rf build/lib build/lib.* build/bdist.* build/temp.* build/wheel # nothing of a former one
SOTTO_WHEEL=1 SOTTO_PROFILE=release quietly wheel.log "$VENV/bin/python" -m pip wheel --disable-pip-version-check \
    --no-deps --no-build-isolation --no-cache-dir -w build/wheel/bare .

step "Putting libraries and their licences into it"
PATH=$VENV/bin:$PATH quietly auditwheel.log "$VENV/bin/python" -m auditwheel repair --strip -w build/wheel build/wheel/bare/*.whl
quietly licences.log "$VENV/bin/python" tools/licences.py build/wheel/*.whl
mkdir -p dist
rm -f dist/sotto-*
mv build/wheel/*.whl dist/
quietly sdist.log "$VENV/bin/python" setup.py -q sdist -d dist
took
ls -sh dist/sotto-*
