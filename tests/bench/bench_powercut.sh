#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Power cuts of the spool's disk under load, 200 or as many as said: bench_powercut.sh [POINTS]. Root and a loop device.
exec python3 "$(dirname "${BASH_SOURCE[0]}")/bench_powercut.py" "$@"
