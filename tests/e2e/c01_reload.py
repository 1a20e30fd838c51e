# SPDX-License-Identifier: Apache-2.0
"""c01: certificate and ticket keys change again and again under load: no request fails, tickets still resume, and what
is wrong changes nothing. RELOADS=1000 for the long form."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import signal
import subprocess

from e2e import Cluster, ROOT, expect, expect_exact, step, stop_load, tell, wait_for
from raw_h2 import Raw

RELOADS = int(os.environ.get("RELOADS", "100"))
DONE, FAILED = "tributary_edge_reloads_total", "tributary_edge_reload_failures_total"
ONE = {"us": {"edges": ["us-e1"], "replicas": ["us-r1"]}}


def replace(path, data):
    """By rename, as operators should: the edge never sees half a file."""
    with open(os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    os.rename(path + ".new", path)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def certificate_of(edge, cluster):
    raw = Raw(edge.addresses["listen"], cluster.ca)
    seen = raw.tls.getpeercert(binary_form=True)
    raw.close()
    return seen


def reload(edge, name=DONE):
    before = edge.metrics()[name]
    os.kill(edge.pid, signal.SIGHUP)
    wait_for("the reload", lambda: edge.metrics()[name] > before, 10, 0.002)


def reload_many(cluster, edge, certificate, key, tickets):
    """Two pairs of one authority in turn; a client comes anew after each."""
    pairs = [(read(certificate), read(key)), (read(cluster.certificate), read(cluster.key))]
    expect(pairs[0] != pairs[1], "the second certificate is the first")
    resumed, failed, kept, seen = 0, 0, None, set()
    for i in range(RELOADS):
        replace(certificate, pairs[i % 2][0])
        replace(key, pairs[i % 2][1])
        replace(tickets, (os.urandom(80) + read(tickets))[:240])
        reload(edge)
        raw = Raw(edge.addresses["listen"], cluster.ca, session=kept)
        failed += not raw.home(1)
        resumed += raw.tls.session_reused
        kept = raw.tls.session
        raw.close()
        seen.add(certificate_of(edge, cluster))
    expect(failed == 0, f"{failed} of {RELOADS} new clients got no answer")
    expect(resumed >= RELOADS - 2, f"only {resumed} of {RELOADS} clients resumed with the ticket of the key before")
    expect(len(seen) == 2, f"{len(seen)} certificates were seen")
    step(f"{RELOADS} reloads, {resumed} clients resumed")
    return pairs[RELOADS % 2][1]  # the key that is not in use


def bad_reloads(cluster, edge, certificate, key, tickets, other_key):
    pair, keys, config = (read(certificate), read(key)), read(tickets), read(edge.config)
    before = certificate_of(edge, cluster)
    for name, path, data in [("no certificate", certificate, b""), ("half a certificate", certificate, pair[0][:300]),
                             ("another's key", key, other_key),
                             ("half a ticket key", tickets, keys[:79]), ("no YAML", edge.config, b"a: [b\n")]:
        good = read(path)
        replace(path, data)
        reload(edge, FAILED)
        expect(certificate_of(edge, cluster) == before, f"{name}: the certificate has changed")
        replace(path, good)
    expect(read(edge.config) == config, "the test spoiled the configuration")
    reload(edge)
    step("5 wrong reloads changed nothing")


def test():
    with Cluster(topology=ONE) as c:
        edge = c.edges["us-e1"]
        own = os.path.join(c.folder, "edge-tls")
        os.makedirs(own)
        certificate, key, tickets = (os.path.join(own, name) for name in ("server.pem", "server.key", "tickets"))
        replace(tickets, os.urandom(80))
        edge.changes = {"tls": {"certificate_file": certificate, "key_file": key, "ticket_keys_file": tickets}}
        subprocess.run([os.path.join(ROOT, "infra/certs/make_certs.sh"), c.certs, "server"], check=True,
                       capture_output=True)
        replace(certificate, read(c.certificate))
        replace(key, read(c.key))
        c.start()
        load = c.send(rate=1000, seconds=300, ads=100, connections=2)
        other_key = reload_many(c, edge, certificate, key, tickets)
        bad_reloads(c, edge, certificate, key, tickets, other_key)
        answer = stop_load(c, load)
        step(f"{answer['accepted']} clicks accepted, {answer['unknown_attempts']} requests failed")
        expect(answer["unknown_attempts"] == 0, f"requests failed: {answer}")
        expect_exact(c)


tell(test)
