#!/usr/bin/env bash
# Debian's nginx and Caddy into build/proxies, without installing: services that start by themselves are nothing a test
# should leave behind. Prints the two programs.
set -euo pipefail
source "$(dirname "$0")/common.sh"
folder=$PWD/build/proxies
if [ ! -x "$folder/usr/sbin/nginx" ] || [ ! -x "$folder/usr/bin/caddy" ]; then
    mkdir -p "$folder"
    cd "$folder"
    apt-get download nginx caddy >&2
    for package in ./*.deb; do dpkg-deb -x "$package" .; done
    rm -f ./*.deb
fi
echo "$folder/usr/sbin/nginx"
echo "$folder/usr/bin/caddy"
