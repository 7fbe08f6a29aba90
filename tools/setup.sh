#!/usr/bin/env bash
# Everything Sotto needs on this machine: system packages, .venv, the packages in it.
#   tools/setup.sh            to build and run
#   tools/setup.sh browsers   also the browsers and tools that the tests drive
#   tools/setup.sh fuzz       also what the fuzzers are built with (the tests as well)
#   tools/setup.sh bench      also what the benchmarks' networks are made with
# Does nothing that is done already; asks for root only when a system package is missing.
set -euo pipefail
source "$(dirname "$0")/common.sh"

# --- Python ------------------------------------------------------------------------------------------------
find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
}
PYTHON=$(find_python || true)

# --- system packages: each is asked for by what it gives, so what came another way counts too -----------------
missing=()
need() { # need PACKAGE TEST...
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}
header() { printf '#include <%s>\n' "$1" | cc -E ${2:+"-I$2"} - ; }
any() { local name; for name in "$@"; do command -v "$name" && return; done; return 1; }
faketime() { ls /usr/lib/*/faketime/libfaketime.so.1; }
newest_clang() { apt-cache depends clang 2>/dev/null | grep -oE 'clang-[0-9]+' | head -1; } # what this system calls its clang
links_libfuzzer() {
    local compiler
    compiler=$(any "$1" clang | head -1) && printf 'int LLVMFuzzerTestOneInput(const char *d, long n) { return d && n < 0; }' |
        "$compiler" -fsanitize=fuzzer,address -x c - -o /dev/null
}
distribution() { (. /etc/os-release 2>/dev/null && echo "${ID:-unknown}"); }

find_missing() {
    missing=()
    need gcc any gcc
    need make any make
    if [ -z "$PYTHON" ]; then
        missing+=(python3 python3-venv python3-dev)
    else
        need python3-venv "$PYTHON" -c 'import venv, ensurepip'
        need python3-dev test -f "$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h"
    fi
    need libc6-dev header stdio.h
    need libssl-dev header openssl/evp.h
    if [ "$(uname -m)" = x86_64 ]; then
        # Optional: without it the core encrypts with OpenSSL alone, at a third of the speed.
        apt_has libipsec-mb-dev && need libipsec-mb-dev header intel-ipsec-mb.h
    fi
    if [ "${1:-}" = browsers ] || [ "${1:-}" = fuzz ]; then
        need libfaketime faketime # 30 kB: a wall clock that jumps
        # 14 MB to fetch, 113 MB installed: libFuzzer comes with clang alone. Other systems replay the seeds instead.
        local clang
        clang=$(newest_clang)
        [ -z "$clang" ] || { need "$clang" any clang "$clang"; need "libclang-rt-${clang#clang-}-dev" links_libfuzzer "$clang"; }
    fi
    if [ "${1:-}" = browsers ] || [ "${1:-}" = bench ]; then
        need iproute2 any ip /usr/sbin/ip
    fi
    if [ "${1:-}" = bench ]; then
        need ethtool any ethtool /usr/sbin/ethtool # whether the device segments
    fi
    if [ "${1:-}" = browsers ]; then
        case $(distribution) in
            ubuntu) need chromium-browser any chromium chromium-browser google-chrome
                    need firefox any firefox-esr firefox ;;
            *)      need chromium any chromium chromium-browser google-chrome
                    need firefox-esr any firefox-esr firefox ;;
        esac
        need iptables any iptables /usr/sbin/iptables # a path that is lost: one test takes it from one browser
        need tshark any tshark # 21 MB to fetch, 126 MB installed: a second reader of everything we send
    fi
}
apt_has() { [ -f /usr/include/intel-ipsec-mb.h ] || apt-cache show "$1" 2>/dev/null | grep -q . ; }

install_missing() {
    local sudo=()
    command -v apt-get >/dev/null ||
        die "this machine has no apt-get; please install what these Debian packages give: ${missing[*]}"
    local line="apt-get install -y --no-install-recommends ${missing[*]}"
    if [ "$(id -u)" != 0 ]; then
        if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
            sudo=(sudo)
        else
            die "system packages are missing. Run this as root, then start again:
    apt-get update && $line"
        fi
    fi
    step "Installing system packages: ${missing[*]}"
    quietly apt-update.log "${sudo[@]}" apt-get update
    quietly apt-install.log "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive $line
    took
}

find_missing "${1:-}"
if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ] && ! apt-cache show gcc >/dev/null 2>&1; then
        quietly apt-update.log apt-get update # a bare image has no package lists to look into
        find_missing "${1:-}"
    fi
    install_missing
    PYTHON=$(find_python || true)
    [ -n "$PYTHON" ] || die "no Python 3.11 or newer found (set PYTHON=/path/to/python3)"
    find_missing "${1:-}"
    [ ${#missing[@]} = 0 ] || die "still missing after the installation: ${missing[*]}"
fi

# --- .venv -------------------------------------------------------------------------------------------------
if ! "$VENV/bin/python" -c '' 2>/dev/null; then
    step "Making .venv with $("$PYTHON" --version)"
    rm -rf "$VENV"
    "$PYTHON" -m venv "$VENV"
    took
fi

requirements=$("$VENV/bin/python" tools/requirements.py demo dev)
if ! unchanged requirements "$VENV $requirements"; then
    step "Installing Python packages into .venv (a minute, the first time)"
    printf '%s\n' "$requirements" >build/requirements.txt
    quietly pip.log "$VENV/bin/python" -m pip install --disable-pip-version-check -r build/requirements.txt
    remember requirements "$VENV $requirements"
    took
fi
