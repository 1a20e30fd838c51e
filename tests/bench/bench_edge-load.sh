#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench_edge-load.sh [--check] [--json] [--seconds N]: answer times of the edge on one core, at half of its own
# saturation, with its region frozen, and at twice of it; see build.sh.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/bench/build.sh

bench_make tributary-edge tributary-regional tributary-global tributaryctl tributary-load
exec env TRIBUTARY_BIN="$build/bin" python3 tests/bench/bench_edge_load.py "$@"
