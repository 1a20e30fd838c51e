# SPDX-License-Identifier: Apache-2.0
"""cluster: a whole Tributary on loopback: nats-servers, edges, fold replicas, a globe, and the load tool."""

import atexit
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile

from process import Failure, finish, wait_for, _die_with_parent
from tiers import Archiver, Edge, Global, Nats, Replica, find_nats_server, write_private

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOPOLOGY = {"us": {"edges": ["us-e1", "us-e2"], "replicas": ["us-r1", "us-r2"]},
            "eu": {"edges": ["eu-e1"], "replicas": ["eu-r1"]}}


def default_bin():
    """Where the programs are: said by TRIBUTARY_BIN, else the build made last."""
    said = os.environ.get("TRIBUTARY_BIN")
    if said:
        return os.path.abspath(said)
    builds = [os.path.join(ROOT, "build", preset, "bin") for preset in ("release", "dev", "asan")]
    builds = [b for b in builds if os.path.exists(os.path.join(b, "tributary-edge"))]
    if not builds:
        raise Failure("nothing is built yet: run ./dev build")
    return max(builds, key=os.path.getmtime)


class Cluster:
    """Use as a context: whatever it started has ended when the block is left."""

    def __init__(self, bin_folder=None, topology=None, keep=False, state=None, log_level="info",
                 lateness_ms=10000, spool_bytes=1 << 30):
        self.bin = bin_folder or default_bin()
        self.topology = topology or TOPOLOGY
        self.keep = keep
        binary = find_nats_server(ROOT)
        self.folder = state or tempfile.mkdtemp(prefix="tributary-")
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        self.log_level = log_level
        self.lateness_ms = lateness_ms
        self.spool_bytes = spool_bytes
        self.runs = []       # load tool children
        self.ledgers = []
        self.certs = os.path.join(self.folder, "certs")
        self.ca = os.path.join(self.certs, "ca.pem")
        self.certificate = os.path.join(self.certs, "server.pem")
        self.key = os.path.join(self.certs, "server.key")
        self.dedupe_key = write_private(os.path.join(self.folder, "dedupe.key"), secrets.token_hex(16) + "\n")
        edges = [(edge, region) for region, parts in self.topology.items() for edge in parts["edges"]]
        self.nats = {region: Nats(region, self.folder, binary, [edge for edge, _ in edges])
                     for region in self.topology}
        self.replicas = {name: Replica(name, region, self)
                         for region, parts in self.topology.items() for name in parts["replicas"]}
        self.archivers = {name: Archiver(name, region, self)
                          for region, parts in self.topology.items() for name in parts.get("archivers", [])}
        self.edges = {name: Edge(name, region, self) for name, region in edges}
        self.globe = Global("global-1", self)
        self._closed = False
        atexit.register(self.close)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    # --- life ---------------------------------------------------------------------------------------------------

    def everything(self):
        return [*self.nats.values(), *self.replicas.values(), *self.archivers.values(), *self.edges.values(),
                self.globe]

    def archivers_of(self, region):
        return [a for a in self.archivers.values() if a.region == region]

    def replicas_of(self, region):
        return [r for r in self.replicas.values() if r.region == region]

    def edges_of(self, region):
        return [e for e in self.edges.values() if e.region == region]

    def start(self):
        done = subprocess.run([os.path.join(ROOT, "infra/certs/make_certs.sh"), self.certs, "server"],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failure(f"certificates cannot be made: {done.stderr.strip()}")
        for nats in self.nats.values():
            nats.start()
        # All at once: they find one another.
        tiers = [*self.replicas.values(), *self.archivers.values(), *self.edges.values(), self.globe]
        for tier in tiers:
            tier.spawn()
        for tier in tiers:
            wait_for(f"{tier.name} to start (see {tier.log})", lambda t=tier: not t.alive() or t.is_ready(), 40)
            if not tier.alive():
                raise Failure(f"{tier.name} ended with {tier.child.returncode}: {tier.last_words()}")
        for region in self.topology:
            self.enrol(region, [edge.name for edge in self.edges.values()])
        self.wait_ready()
        return self

    def enrol(self, region, edges):
        config = self.replicas_of(region)[0].write_control_config()
        for edge in edges:
            self.ctl("edge", "enrol", "--config", config, edge)

    def ctl(self, *arguments, seconds=40):
        done = subprocess.run([os.path.join(self.bin, "tributaryctl"), *arguments], capture_output=True, text=True,
                              timeout=seconds, check=False)
        if done.returncode != 0:
            raise Failure(f"tributaryctl {' '.join(arguments[:2])}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def wait_ready(self, seconds=40.0):
        for tier in [*self.edges.values(), *self.replicas.values(), *self.archivers.values(), self.globe]:
            wait_for(f"{tier.name} to be ready", lambda t=tier: t.admin("/readyz")[0] == 200, seconds)

    def close(self):
        if self._closed:
            return
        self._closed = True
        for run in self.runs:
            finish(run)
        for process in reversed(self.everything()):
            process.kill()
        if self.keep:
            print(f"state kept in {self.folder}", file=sys.stderr)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        complaints = [] if kind else [c for c in (p.complaint() for p in self.everything()) if c]
        self.keep = self.keep or bool((complaints or kind is Failure) and os.environ.get("KEEP"))
        self.close()
        if complaints:
            raise Failure("; ".join(complaints))

    # --- load ---------------------------------------------------------------------------------------------------

    def edge_arguments(self, edges=None):
        arguments = []
        for edge in edges or self.edges.values():
            arguments += ["--edge", f"{edge.name}={edge.region}@{edge.addresses['listen']}"]
        return arguments

    def load(self, *arguments, stderr=None):
        """Starts the load tool; its answer comes by finish_load."""
        child = subprocess.Popen([os.path.join(self.bin, "tributary-load"), *arguments], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=stderr, text=True, preexec_fn=_die_with_parent)
        self.runs.append(child)
        return child

    def ledger(self, name):
        path = os.path.join(self.folder, f"{name}.ledger")
        self.ledgers.append(path)
        return path

    def send(self, name="load", edges=None, **options):
        """Starts sending: send(rate=5000, seconds=10)."""
        arguments = ["send", *self.edge_arguments(edges), "--ca", self.ca, "--ledger", self.ledger(name), "--json",
                     "--latencies", os.path.join(self.folder, f"{name}.latencies")]
        stderr = options.pop("stderr", subprocess.DEVNULL)
        for option, value in options.items():
            arguments += [f"--{option.replace('_', '-')}", str(value)]
        return self.load(*arguments, stderr=stderr)

    def probe(self, name="probe", **options):
        arguments = ["probe", *self.edge_arguments(), "--ca", self.ca, "--ledger", self.ledger(name), "--global",
                     self.globe.addresses["listen"], "--json", "--samples",
                     os.path.join(self.folder, f"{name}.samples")]
        for option, value in options.items():
            arguments += [f"--{option.replace('_', '-')}", str(value)]
        return self.load(*arguments)

    def finish_load(self, child, seconds=120.0):
        """(exit code, what it answered)"""
        try:
            text, _ = child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"the load tool did not end within {seconds:.0f} s") from None
        try:
            return child.returncode, json.loads(text)
        except ValueError:
            raise Failure(f"the load tool ended with {child.returncode} and said {text!r}") from None

    def check(self, wait_seconds=40.0, settle_seconds=2.0, stderr=None):
        """(exact?, what the checker answered), over all ledgers of this cluster."""
        arguments = ["check", "--global", self.globe.addresses["listen"], "--ca", self.ca, "--json",
                     "--wait-seconds", str(wait_seconds), "--settle-seconds", str(settle_seconds), "--quiet"]
        for ledger in self.ledgers:
            arguments += ["--ledger", ledger]
        code, answer = self.finish_load(self.load(*arguments, stderr=stderr), wait_seconds + 60)
        return code == 0, answer
