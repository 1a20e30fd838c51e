#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench_partials.sh [--check]: bytes of partials against the bytes of the clicks as JSON, by ads; see build.sh.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/bench/build.sh

bench_make regional_core
bench_cc bench_partials bench_partials.c bench_clicks.c -- regional_core tributary_proto tributary_base --
exec "$build/bench/bench_partials" "$@"
