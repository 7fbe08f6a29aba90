#!/usr/bin/env bash
# Compiles the participants of the chaos runs into build/chaos; does nothing when nothing changed.
set -euo pipefail
source "$(dirname "$0")/../../tools/common.sh"
OUT=$ROOT/build/chaos
mkdir -p "$OUT"
mb=(); [ -f /usr/include/intel-ipsec-mb.h ] && mb=(-DSOTTO_HAVE_IPSEC_MB=1 -lIPSec_MB)
state=$(cat fastpath/*.[ch] benchmarks/load/*.[ch] benchmarks/chaos/*.c "$0" | sha256sum)
unchanged chaos "$state" && exit
step "Compiling the participants"
quietly chaos-build.log gcc -std=gnu11 -O2 -g -D_GNU_SOURCE -Wall -Wextra -iquote fastpath -idirafter fastpath -iquote benchmarks/load \
    benchmarks/chaos/stream.c benchmarks/load/{plan,check,feedback}.c \
    fastpath/{srtp,crypto,crypto_ipsec,crypto_openssl,hmac_sha1,rtp,rtcp,transport_cc,counters}.c \
    -o "$OUT/stream" "${mb[@]}" -lcrypto
remember chaos "$state"
took
