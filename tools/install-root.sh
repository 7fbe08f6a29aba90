#!/usr/bin/env bash
# A Debian with Python and systemd and nothing else in build/install/debian (a minute and 250 MB, once), and
# systemd-nspawn to boot it, taken from Debian's package without installing that. Prints the two paths.
set -euo pipefail
source "$(dirname "$0")/common.sh"
suite=${SUITE:-bookworm}
folder=$PWD/build/install
mkdir -p "$folder"
command -v debootstrap >/dev/null || die "debootstrap is missing: apt-get install debootstrap"
if [ ! -f "$folder/$suite.done" ]; then
    rm -rf "${folder:?}/$suite"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates,systemd,systemd-sysv,dbus \
        "$suite" "$folder/$suite" >"$folder/$suite.log" 2>&1 || { tail "$folder/$suite.log" >&2; die "debootstrap failed"; }
    touch "$folder/$suite.done"
fi
nspawn=$(command -v systemd-nspawn || true)
if [ -z "$nspawn" ]; then
    nspawn=$folder/nspawn/usr/bin/systemd-nspawn
    if [ ! -x "$nspawn" ]; then
        mkdir -p "$folder/nspawn"
        (cd "$folder/nspawn" && apt-get download systemd-container >&2 && dpkg-deb -x systemd-container_*.deb . && rm -f ./*.deb)
    fi
fi
echo "$folder/$suite"
echo "$nspawn"
