#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Crash points of edge, replicas and globe, 2000 or as many as said: bench_crashpoints.sh [POINTS [SEED]].
# Power cuts among them need root and a loop device.
set -euo pipefail
[ "${1:-}" != --check ] || shift
./dev build dev tributary-edge tributary-regional tributary-archiver tributary-global tributaryctl tributary-load crash_points
TRIBUTARY_BIN=${TRIBUTARY_BIN:-$PWD/build/dev/bin} exec python3 tests/crash/crash_points.py "$@"
