#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench_attacks.sh [--check]: an honest client beside each attacker; see bench_attacks.py --help.
exec python3 "$(dirname "$0")/bench_attacks.py" "$@"
