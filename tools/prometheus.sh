#!/usr/bin/env bash
# Debian's Prometheus and promtool into build/prometheus, without installing: a service that starts by itself is nothing a
# test should leave behind. Prints the folder of the two programs.
set -euo pipefail
source "$(dirname "$0")/common.sh"
folder=$PWD/build/prometheus
if [ ! -x "$folder/usr/bin/promtool" ]; then
    mkdir -p "$folder"
    cd "$folder"
    apt-get download prometheus >&2
    dpkg-deb -x prometheus_*.deb .
    rm -f prometheus_*.deb
fi
echo "$folder/usr/bin"
