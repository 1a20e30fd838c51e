#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench_edge.sh [--check] [--json] [--rounds N] [--only CASE]: the edge against nghttpd, h2o and nginx of Debian's
# packages; see build.sh.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/bench/build.sh

bench_make tributary-edge tributary-regional tributary-global tributaryctl tributary-load
exec env TRIBUTARY_BIN="$build/bin" python3 tests/bench/bench_edge.py "$@"
