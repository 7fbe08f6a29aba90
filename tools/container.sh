#!/usr/bin/env bash
# Podman, a runtime and the image that packaging/Containerfile begins with. Where no container registry can be reached
# that image is made of Debian's packages by debootstrap, under the same name. Prints the runtime.
set -euo pipefail
source "$(dirname "$0")/common.sh"
[ "$(id -u)" = 0 ] || die "containers with the host's network are for root"
base=$(sed -n 's/^FROM //p' packaging/Containerfile)
if ! command -v podman >/dev/null || ! command -v runc >/dev/null; then
    command -v apt-get >/dev/null || die "podman and runc are needed"
    # runc: crun refuses machines that have both kinds of control groups.
    DEBIAN_FRONTEND=noninteractive quietly apt-install.log \
        apt-get install -y --no-install-recommends podman conmon runc
fi
if ! podman image exists "$base"; then
    if podman pull -q "$base" >"$ROOT/build/podman-pull.log" 2>&1; then
        note "$base from its registry" >&2
    else
        note "$base cannot be fetched ($(tail -n 1 "$ROOT/build/podman-pull.log" | grep -oE '[^:]+$')): made by debootstrap" >&2
        folder=$ROOT/build/container
        mkdir -p "$folder"
        rm -rf "${folder:?}/debian"
        quietly debootstrap.log debootstrap --variant=minbase bookworm "$folder/debian"
        tar -C "$folder/debian" --exclude='./var/cache/apt/archives/*.deb' -c . | podman import -q - "$base" >&2
        rm -rf "${folder:?}/debian"
    fi
fi
command -v runc
