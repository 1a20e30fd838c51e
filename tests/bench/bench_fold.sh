#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench_fold.sh [--check]: builds bench_fold against the release libraries and runs it; see build.sh.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/bench/build.sh

bench_make regional_core
bench_cc bench_fold bench_fold.c bench_clicks.c -- regional_core tributary_proto tributary_base --
exec "$build/bench/bench_fold" "$@"
