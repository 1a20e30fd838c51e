#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# second_server.sh BIN: what depends on nats-server, once more with the one in NATS_SERVER_NEW. Not set: says so.
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=${1:?usage: second_server.sh BIN}

if [ -z "${NATS_SERVER_NEW:-}" ]; then
    echo "SKIPPED: NATS_SERVER_NEW names no newer nats-server, so nothing is shown about one" >&2
    exit 0
fi
[ -x "$NATS_SERVER_NEW" ] || { echo "NATS_SERVER_NEW=$NATS_SERVER_NEW is no program" >&2; exit 1; }
"$NATS_SERVER_NEW" --version

export NATS_SERVER=$NATS_SERVER_NEW TRIBUTARY_BIN=$bin
failed=0
for test in test_bus_nats test_bus_nats_script test_bus_nats_faults; do
    timeout 120 tests/run_unit "$bin/$test" || failed=1
done
for story in b01_basic d03_kill_nats d05_tail_loss b04_nats_files d13_zone_killed d14_stream_deleted d15_leaf d16_replicas_equal d17_catch_up; do
    echo "$story:"
    timeout -k 5 240 python3 "tests/e2e/$story.py" || failed=1
done
exit "$failed"
