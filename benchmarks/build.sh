#!/usr/bin/env bash
# Compiles the programs of the benchmarks into build/bench; does nothing when nothing changed.
set -euo pipefail
source "$(dirname "$0")/../tools/common.sh"
OUT=$ROOT/build/bench
mkdir -p "$OUT"
mb=(); [ -f /usr/include/intel-ipsec-mb.h ] && mb=(-DSOTTO_HAVE_IPSEC_MB=1 -lIPSec_MB)
flags=(-std=gnu11 -O3 -g -D_GNU_SOURCE -Wall -Wextra -iquote fastpath -idirafter fastpath)
packets=(fastpath/{srtp,crypto,crypto_ipsec,crypto_openssl,hmac_sha1,rtp,rtcp,reports,transport_cc,transport_cc_read,counters}.c)
state=$(cat fastpath/*.[ch] benchmarks/load/* benchmarks/*.[ch] tests/fastpath/c/scene* "$0" | sha256sum)
unchanged benchmarks "$state" && exit
step "Compiling the benchmarks"
quietly bench-load.log gcc "${flags[@]}" benchmarks/load/{load,plan,wire,check,sending,receiving,members,feedback}.c "${packets[@]}" -o "$OUT/load" "${mb[@]}" -lcrypto
quietly bench-bare.log gcc "${flags[@]}" benchmarks/load/bare.c fastpath/{srtp,crypto,crypto_ipsec,crypto_openssl,hmac_sha1}.c -o "$OUT/bare" "${mb[@]}" -lcrypto
quietly bench-take.log gcc "${flags[@]}" benchmarks/load/take.c fastpath/{srtp,crypto,crypto_ipsec,crypto_openssl,hmac_sha1,rtp}.c -o "$OUT/take" "${mb[@]}" -lcrypto
quietly bench-micro.log gcc "${flags[@]}" benchmarks/forward_micro.c tests/fastpath/c/scene*.c fastpath/*.c -o "$OUT/micro" "${mb[@]}" -lcrypto -lm
quietly bench-raw.log gcc "${flags[@]}" benchmarks/load/raw.c fastpath/{srtp,crypto,crypto_ipsec,crypto_openssl,hmac_sha1}.c -o "$OUT/raw" "${mb[@]}" -lcrypto
remember benchmarks "$state"
took
