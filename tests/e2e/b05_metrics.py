# SPDX-License-Identifier: Apache-2.0
"""b05: what the three programs show is what Prometheus wants: promtool finds nothing, all units are base units."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import json
import re
import shutil
import subprocess
import time

from e2e import Cluster, ROOT, ask, click, expect, step, tell, wait_count, wait_for

AD = f"b05-{os.urandom(4).hex()}"
CLICKS = 20
# A name that an operator's dashboard stands on, of each kind of thing that must be visible.
WANTED = {
    "edge": ["answer_seconds_bucket", "commit_seconds_sum", "publish_seconds_count", "spool_used_bytes",
             "spool_age_seconds", "segments_published_total", "in_flight", "reader_floor", "reader_held", "tls_1_3_total",
             "tls_resumed_total", "tls_failed_total", "h2_abuse_closed_by_kind_total", "h2_peer_connections_refused_total",
             "h2_peer_connects_refused_total", "h2_peer_requests_refused_total", "h2_descriptors_exhausted_total",
             "clicks_refused_by_error_total", "answers_replicated_total", "answers_spooled_total", "bus_up"],
    "regional": ["counted_total", "partition_lag_messages", "store_used_bytes", "bus_up"],
    "global": ["partials_total", "store_used_bytes", "h2_requests_total"],
}
NO_BASE_UNIT = re.compile(r"_(ms|us|ns|msec|milliseconds|microseconds|minutes_ago|kb|mb|kilobytes|megabytes|percent)(_|$)")


def promtool():
    private = os.path.join(ROOT, ".deps/prometheus/usr/bin/promtool")
    return private if os.access(private, os.X_OK) else shutil.which("promtool")


def tier_name(tier):
    return tier.program.removeprefix("tributary-")


def check_names(tier, text):
    head = f"tributary_{tier_name(tier)}_"
    names = set(re.findall(r"^([a-z0-9_]+)(?:\{| )", text, re.MULTILINE))
    for name in names:
        expect(name.startswith(head), f"{tier.name}: {name} does not begin with {head}")
        expect(not NO_BASE_UNIT.search(name), f"{tier.name}: {name} is not in a base unit")
    for wanted in WANTED[tier_name(tier)]:
        expect(head + wanted in names, f"{tier.name} does not show {head}{wanted}")
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    for name, kind in kinds.items():
        expect(name.endswith("_total") == (kind == "counter"), f"{tier.name}: {name} is a {kind}")
    step(f"{tier.name}: {len(kinds)} metrics, {len(text.splitlines())} lines")


def check_by_promtool(tool, tier, text):
    said = subprocess.run([tool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=30, check=False)
    expect(said.returncode == 0 and not said.stderr.strip(), f"{tier.name}: promtool: {said.stderr}")


def check_story(edge):
    """The clicks that were sent are what the numbers tell."""
    shown = edge.metrics()
    answers = sum(shown[f'tributary_edge_answer_seconds_count{{durability="{d}"}}'] for d in ("spooled", "replicated"))
    expect(answers == shown["tributary_edge_answers_accepted_total"] == CLICKS, f"{answers} latencies of {CLICKS} answers")
    for what in ("answer_seconds", "commit_seconds", "publish_seconds"):
        counts = [(k, v) for k, v in shown.items() if k.startswith(f"tributary_edge_{what}_bucket") and "+Inf" not in k]
        expect(any(v > 0 for _, v in counts), f"{what} is empty")
    floors = [v for k, v in shown.items() if k.startswith("tributary_edge_reader_floor{")]
    expect(sum(floors) > 0, f"no reader's floor moved: {floors}")
    expect(0 <= shown["tributary_edge_spool_age_seconds"] < 600, f"age {shown['tributary_edge_spool_age_seconds']}")


def test():
    tool = promtool()
    with Cluster(lateness_ms=2000) as c:
        c.start()
        edge, at = c.edges["us-e1"], int(time.time()) // 60 * 60 - 60
        for i in range(CLICKS):
            body = json.dumps(click(AD, f"user-{i}", at))
            answer = ask(c, edge, "/v1/clicks", "POST", body, ["content-type: application/json"])
            expect(answer.status == 202, f"{answer.status} {answer.body}")
        wait_count(c, AD, at, at + 60, CLICKS)
        wait_for("the spool to be empty", lambda: edge.metrics()["tributary_edge_in_flight"] == 0, 20, 0.1)
        for tier in [*c.edges.values(), *c.replicas.values(), c.globe]:
            status, text = tier.admin("/metrics")
            expect(status == 200, f"{tier.name}: {status}")
            check_names(tier, text)
            if tool:
                check_by_promtool(tool, tier, text)
        check_story(edge)
    if not tool:
        step("SKIPPED: promtool is not here (./dev setup): only names and values were checked")


tell(test)
