#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench_archive.sh [--check] [--clicks N]: bytes and CPU of the archive, in memory and as a whole process; see build.sh.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/bench/build.sh

bench_make tributary-archiver
bench_cc bench_archive bench_archive.c bench_clicks.c -- regional_core tributary_run tributary_proto tributary_base -- \
    -lsnappy -lz -lnats -lcrypto -lssl -lpthread
"$build/bench/bench_archive" core
echo
exec python3 tests/bench/bench_archive.py "$build/bench/bench_archive" "$build/bin" "$@"
