#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench_scanner.sh [--check]: builds bench_scanner with its peer and runs it; 77 (skipped) where libsimdjson-dev or a
# C++ compiler is missing: nothing is installed here. See build.sh.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/bench/build.sh

cxx=${CXX:-c++}
if ! command -v "$cxx" >/dev/null ||
    ! echo '#include <simdjson.h>' | "$cxx" -std=c++17 -E -x c++ - >/dev/null 2>&1; then
    echo "bench_scanner: skipped: needs a C++ compiler and libsimdjson-dev" >&2
    exit 77
fi
bench_make tributary_proto
out=$build/bench
${CC:-cc} -std=c17 -D_GNU_SOURCE -O2 -g -Wall -Wextra -Werror -I. -c tests/bench/bench_scanner.c -o "$out/bench_scanner.o"
"$cxx" -std=c++17 -O2 -g -Wall -I. -c tests/bench/bench_scanner_peer.cc -o "$out/bench_scanner_peer.o"
"$cxx" -o "$out/bench_scanner" "$out/bench_scanner.o" "$out/bench_scanner_peer.o" -lsimdjson \
    $(bench_libraries tributary_proto tributary_base)
exec "$out/bench_scanner" "$@"
