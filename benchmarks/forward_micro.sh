#!/usr/bin/env bash
# CPU of the forwarding core without sockets; see forward_micro.c.
set -euo pipefail
cd "$(dirname "$0")/.."
mb=(); [ -f /usr/include/intel-ipsec-mb.h ] && mb=(-DSOTTO_HAVE_IPSEC_MB=1 -lIPSec_MB)
mkdir -p build
gcc -std=gnu11 -O3 -D_GNU_SOURCE -iquote fastpath benchmarks/forward_micro.c tests/fastpath/c/scene*.c fastpath/*.c \
    -o build/forward_micro "${mb[@]}" -lcrypto -lm
build/forward_micro
