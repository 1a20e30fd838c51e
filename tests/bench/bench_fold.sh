#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench_fold.sh [--check]: builds bench_fold against the release libraries and runs it. BENCH_BUILD: the release build
# folder (default build/release).
set -euo pipefail
cd "$(dirname "$0")/../.."

build=${BENCH_BUILD:-build/release}
[ -f "$build/build.ninja" ] || cmake --preset release -B "$build" >/dev/null
cmake --build "$build" --target regional_core tributary_proto >/dev/null

out=$build/bench
mkdir -p "$out"
# Debian 12 calls it msgpackc, 13 msgpack-c.
msgpack=$(sed -n "s/^DEP_msgpack_[^:]*:FILEPATH=//p" "$build/CMakeCache.txt" | head -n 1)
${CC:-cc} -std=c17 -D_GNU_SOURCE -O2 -g -Wall -Wextra -Werror -I. tests/bench/bench_fold.c -o "$out/bench_fold" \
    "$build/regional/libregional_core.a" "$build/proto/libtributary_proto.a" "$build/common/base/libtributary_base.a" \
    "${msgpack:--lmsgpackc}" -lzstd -lxxhash -lsodium -lm
exec "$out/bench_fold" "$@"
