#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench_globe.sh [--check] [--rounds N] [--rows N]: merge rate, bytes a row and the price of a query, with SQLite and
# PostgreSQL beside it on the same rows, gated on equal sums; see build.sh. A peer that is not there is skipped.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/bench/build.sh

if ! echo '#include <sqlite3.h>' | ${CC:-cc} -E -x c - >/dev/null 2>&1 || ! command -v h2load >/dev/null; then
    echo "bench_globe: skipped: needs libsqlite3-dev and nghttp2-client" >&2
    exit 77
fi
bench_make tributary-global
bench_cc bench_globe bench_globe.c -- global_driver global_core tributary_run tributary_proto \
    tributary_base -- -llmdb -lsqlite3 -lpthread
exec env TRIBUTARY_BIN="$build/bin" python3 tests/bench/bench_globe.py "$build/bench/bench_globe" "$@"
