#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A spool of 10 GB, filled while its region is away, killed, restarted, drained: bench_spool.sh [--gb N] [--check].
exec python3 "$(dirname "${BASH_SOURCE[0]}")/bench_spool.py" "$@"
