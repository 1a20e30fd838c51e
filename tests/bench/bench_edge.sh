#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench_edge.sh [--check] [--json] [--rounds N] [--only CASE]: the edge against nghttpd, h2o and nginx of Debian's
# packages. BENCH_BUILD: the release build folder (default build/release).
set -euo pipefail
cd "$(dirname "$0")/../.."

build=${BENCH_BUILD:-build/release}
[ -f "$build/build.ninja" ] || cmake --preset release -B "$build" -DTRIBUTARY_TESTS=OFF >/dev/null
cmake --build "$build" --target tributary-edge tributary-regional tributary-global tributaryctl tributary-load >/dev/null 2>&1
exec env TRIBUTARY_BIN="$build/bin" python3 tests/bench/bench_edge.py "$@"
