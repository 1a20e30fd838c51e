# SPDX-License-Identifier: Apache-2.0
"""d21: archivers, edges, nats and replicas are killed under load; afterwards the archive holds every accepted click
under exactly one number, and its own count is the ledger's."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import json
import subprocess

from avro_archive import Archive, read_avro, manifests
from e2e import Cluster, expect, expect_exact, growth, kill_under_load, step, tell, wait_for

TOPOLOGY = {"us": {"edges": ["us-e1"], "replicas": ["us-r1"], "archivers": ["us-a1", "us-a2"]},
            "eu": {"edges": ["eu-e1"], "replicas": ["eu-r1"], "archivers": ["eu-a1"]}}


def nothing_held(c):
    """Have all readers consumed what every edge accepted?"""
    return all(value == 0 for edge in c.edges.values() for name, value in edge.metrics().items()
               if name.startswith("tributary_edge_reader_held"))


def books(c, region, what):
    return sum(value for name, value in c.replicas_of(region)[0].metrics().items()
               if name.startswith(f"tributary_regional_partition_{what}{{"))


def check_ledger(c, counts):
    """What the ledger says to the archive's own count."""
    path = os.path.join(c.folder, "archive.counts")
    with open(path, "w", encoding="ascii") as file:
        json.dump(counts, file)
    done = subprocess.run([os.path.join(c.bin, "tributary-load"), "check", "--json", "--counts", path,
                           *[word for ledger in c.ledgers for word in ("--ledger", ledger)]],
                          capture_output=True, text=True, check=False)
    verdict = json.loads(done.stdout)
    step(f"by the archive: counted {verdict['counted']}, lost {verdict['lost']}, double {verdict['double']}, "
         f"phantom {verdict['phantom']}")
    expect(done.returncode == 0 and verdict["counted"] > 0, f"the archive's count is not the ledger's: {verdict}")


def damage_is_found(c, folder):
    """A flipped byte, a cut, a missing object: each is found by the reader, and named."""
    victim = next(m for m in manifests(folder) if m["clicks"] > 0)
    path = os.path.join(folder, victim["object"])
    data = open(path, "rb").read()
    for words, changed in (("flipped", data[:len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1:]),
                           ("cut", data[:-20])):
        with open(path, "wb") as file:
            file.write(changed)
        try:
            Archive(folder)
        except Exception as error:  # pylint: disable=broad-except
            expect(victim["object"] in str(error), f"{words}: not named: {error}")
        else:
            expect(False, f"{words}: not found")
    with open(path, "wb") as file:
        file.write(data)


def fastavro_agrees(folder):
    """Another implementation, where there is one."""
    try:
        import fastavro  # pylint: disable=import-outside-toplevel
    except ImportError:
        return
    rows = 0
    for m in list(manifests(folder))[:5]:
        with open(os.path.join(folder, m["object"]), "rb") as file:
            data = file.read()
            file.seek(0)
            theirs = [dict(r, timestamp=r["timestamp"].timestamp(), received=r["received"].timestamp())
                      for r in fastavro.reader(file)]
        ours = [dict(r, timestamp=r["timestamp"] / 1000, received=r["received"] / 1000) for r in read_avro(data)]
        expect(ours == theirs, f"{m['object']}: fastavro reads something else")
        rows += len(theirs)
    step(f"fastavro reads the same {rows} clicks")


def test():
    with Cluster(topology=TOPOLOGY, lateness_ms=1000) as c:
        c.start()
        kill_under_load(c, [c.archivers["us-a1"], c.archivers["eu-a1"], c.nats["us"], c.edges["us-e1"],
                            c.replicas["us-r1"], c.archivers["us-a2"], c.archivers["us-a1"]], rate=1500)
        expect_exact(c)
        wait_for("every reader to have consumed everything", lambda: nothing_held(c), 30, 0.1)
        for archiver in c.archivers.values():
            expect(archiver.metrics()["tributary_archiver_alarm_skipped_total"] == 0, f"{archiver.name}: a hole")
        folder = c.archivers["us-a1"].archive["folder"]
        archive = Archive(folder)
        step(f"{archive.objects} objects of {archive.bytes} bytes hold {archive.records} clicks, {archive.clicks()} numbers")
        expect(not archive.holes(), f"numbers are missing: {archive.holes()}")
        folded = books(c, "us", "folded") + books(c, "eu", "folded")
        expect(archive.clicks() == folded, f"{archive.clicks()} clicks archived, {folded:.0f} folded")
        counts = archive.counts()
        distinct = sum(sum(minutes.values()) for minutes in counts.values())
        counted = books(c, "us", "counted") + books(c, "eu", "counted")
        expect(distinct == counted, f"{distinct} distinct in the archive, {counted:.0f} counted by the folds")
        check_ledger(c, counts)
        fastavro_agrees(folder)
        damage_is_found(c, folder)


tell(test)
