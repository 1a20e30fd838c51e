# SPDX-License-Identifier: Apache-2.0
"""d05: a JetStream store falls back to an older copy: acknowledged messages are gone and come again."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import shutil

from e2e import Cluster, expect, expect_exact, growth, step, stop_load, tell


def copy_store(nats):
    shutil.rmtree(nats.store + ".old", ignore_errors=True)
    shutil.copytree(nats.store, nats.store + ".old")


def fall_back(nats):
    nats.kill()
    shutil.rmtree(nats.store)
    shutil.copytree(nats.store + ".old", nats.store)
    nats.start()
    step(f"{nats.name} is back with an older store")


def test():
    with Cluster() as c:
        c.start()
        nats = c.nats["us"]
        load = c.send(rate=2500, seconds=90, ads=300, connections=2, drain_seconds=60)
        growth(c, 60000)

        step("what is lost had been read by the folds already")
        nats.kill()
        copy_store(nats)
        nats.start()
        growth(c, 80000)
        fall_back(nats)
        growth(c, 80000)
        for replica in c.replicas_of("us"):
            failed = replica.metrics()["tributary_regional_alarm_proofs_failed_total"]
            expect(failed > 0, f"{replica.name} has not noticed that its position was gone")

        step("what is lost had been read by nobody: the folds are down")
        for replica in c.replicas_of("us"):
            replica.kill()
        nats.kill()
        copy_store(nats)
        nats.start()
        growth(c, 80000)
        fall_back(nats)
        for replica in c.replicas_of("us"):
            replica.start()
        growth(c, 40000)
        resent = sum(e.metrics()["tributary_edge_segments_resent_total"] for e in c.edges.values())
        expect(resent > 0, "no edge has sent again what the bus had acknowledged and lost")
        stop_load(c, load)
        expect_exact(c, 60)


tell(test)
