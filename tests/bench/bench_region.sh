#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench_region.sh [--check]: the durable fold against SQLite and PostgreSQL + hll, same clicks, interleaved rounds, gated
# on exact counts. BENCH_BUILD: the release build folder. BENCH_CLICKS, BENCH_ROUNDS. A peer that is not there is skipped.
set -euo pipefail
cd "$(dirname "$0")/../.."

build=${BENCH_BUILD:-build/release}
if ! echo '#include <sqlite3.h>' | ${CC:-cc} -E -x c - >/dev/null 2>&1; then
    echo "bench_region: skipped: needs libsqlite3-dev" >&2
    exit 77
fi
[ -f "$build/build.ninja" ] || cmake --preset release -B "$build" >/dev/null
cmake --build "$build" --target regional_driver tributary_run >/dev/null
# Debian 12 calls it msgpackc, 13 msgpack-c.
msgpack=$(sed -n "s/^DEP_msgpack_[^:]*:FILEPATH=//p" "$build/CMakeCache.txt" | head -n 1)

mkdir -p "$build/bench"
${CC:-cc} -std=c17 -D_GNU_SOURCE -O2 -g -Wall -Wextra -Werror -I. tests/bench/bench_region.c -o "$build/bench/bench_region" \
    -Wl,--start-group "$build/regional/libregional_driver.a" "$build/regional/libregional_core.a" \
    "$build/proto/libtributary_proto.a" "$build/common/base/libtributary_base.a" "$build/common/run/libtributary_run.a" \
    -Wl,--end-group -llmdb -lsqlite3 "${msgpack:--lmsgpackc}" -lzstd -lxxhash -lsodium -lm -lpthread
exec python3 tests/bench/bench_region.py "$build/bench/bench_region" "$@"
