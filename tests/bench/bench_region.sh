#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench_region.sh [--check]: the durable fold against SQLite and PostgreSQL + hll, same clicks, interleaved rounds, gated
# on exact counts; see build.sh. BENCH_CLICKS, BENCH_ROUNDS. A peer that is not there is skipped.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/bench/build.sh

if ! echo '#include <sqlite3.h>' | ${CC:-cc} -E -x c - >/dev/null 2>&1; then
    echo "bench_region: skipped: needs libsqlite3-dev" >&2
    exit 77
fi
bench_make regional_driver tributary_run
bench_cc bench_region bench_region.c bench_clicks.c -- regional_driver regional_core tributary_run tributary_proto \
    tributary_base -- -llmdb -lsqlite3 -lpthread
exec python3 tests/bench/bench_region.py "$build/bench/bench_region" "$@"
