# SPDX-License-Identifier: Apache-2.0
"""r3: a region on three nats-servers, one per zone: what the cluster stories start and break."""

import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import threading
import time

from cluster import ROOT, Cluster
from process import Failure, listens, wait_for
from tiers import Nats, write_private

ZONES = ("a", "b", "c")
REGION = "us"
TOPOLOGY = {REGION: {"edges": ["us-e1", "us-e2"], "replicas": ["us-r1", "us-r2"]}}


def free_ports(count):
    """Members of a cluster must know each other's ports before they run, so the kernel is asked ahead."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def version(binary):
    """(2, 10, 27)"""
    done = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"v(\d+)\.(\d+)\.(\d+)", done.stdout)
    if not found:
        raise Failure(f"{binary} does not tell its version: {done.stdout!r}")
    return tuple(int(part) for part in found.groups())


def password_of(path):
    with open(path, encoding="ascii") as file:
        return file.read().strip()


def request(port, user, password, subject, body=b"", seconds=5.0):
    """One request; the bytes of its answer, or None when nobody is there to take it. OSError without a server."""
    inbox = f"_INBOX.{secrets.token_hex(8)}"
    with socket.create_connection(("127.0.0.1", port), seconds) as wire:
        wire.settimeout(seconds)
        lines = wire.makefile("rb")
        lines.readline()  # INFO
        hello = {"verbose": False, "pedantic": False, "user": user, "pass": password, "headers": True,
                 "no_responders": True, "lang": "python", "version": "1", "protocol": 1}
        wire.sendall(f"CONNECT {json.dumps(hello)}\r\nSUB {inbox} 1\r\n"
                     f"PUB {subject} {inbox} {len(body)}\r\n".encode() + body + b"\r\n")
        while True:
            words = lines.readline().decode().split()
            if not words or words[0] == "-ERR":
                raise OSError(f"the server said {' '.join(words) or 'nothing'}")
            if words[0] == "PING":
                wire.sendall(b"PONG\r\n")
            elif words[0] == "HMSG":  # no responders
                return None
            elif words[0] == "MSG":
                return lines.read(int(words[-1]) + 2)


def publish_to(nats, subject):
    """Is a message that means nothing stored under this subject?"""
    answer = request(nats.port, nats.user, password_of(nats.local), subject, b"?")
    return answer is not None and "error" not in json.loads(answer)


def ask_stream(nats, subject):
    """One question to the JetStream API of a region, by the user that may do everything there."""
    answer = request(nats.port, "regional", password_of(nats.users["regional"]), f"$JS.{nats.region}.API.{subject}")
    if answer is None:
        raise OSError("nobody answers the JetStream API")
    return json.loads(answer)


class Node(Nats):
    """One of the three servers of a region: in a zone of its own, with a port that it keeps."""

    def __init__(self, trio, zone, folder, binary):
        super().__init__(trio.region, folder, binary, [])
        self.name = f"nats-{trio.region}-{zone}"
        self.log = os.path.join(folder, f"{self.name}.log")
        self.store = os.path.join(folder, f"{self.name}.store")
        self.config = os.path.join(folder, f"{self.name}.conf")
        self.trio = trio
        self.zone = zone
        self.users = trio.users
        self.port, self.route_port = free_ports(2)

    def prepare(self):
        users = []
        for user, path in self.users.items():
            publish, subscribe = self.permissions(user)
            users.append({"user": user, "password": password_of(path),
                          "permissions": {"publish": {"allow": publish}, "subscribe": {"allow": subscribe}}})
        jetstream = {"store_dir": self.store, "domain": self.region, "max_memory_store": 1 << 26,
                     "max_file_store": 1 << 34, "unique_tag": "zone:"}
        if version(self.binary) >= (2, 10, 0):
            jetstream["sync_interval"] = "always"
        peers = [f"nats://route:{self.trio.route_password}@127.0.0.1:{node.route_port}"
                 for node in self.trio.nodes if node is not self]
        write_private(self.config, json.dumps({
            "server_name": self.name, "server_tags": [f"zone:{self.zone}"], "host": "127.0.0.1", "port": self.port,
            "jetstream": jetstream, "authorization": {"users": users},
            "cluster": {"name": self.region, "host": "127.0.0.1", "port": self.route_port, "routes": peers,
                        "authorization": {"user": "route", "password": self.trio.route_password}}}, indent=1))

    def is_ready(self):
        return listens(self.pid, self.port) and listens(self.pid, self.route_port)


class Trio:
    """The three of them, where the tiers look for "the" server of a region."""

    def __init__(self, first, folder, node=None):
        self.region = first.region
        self.users = first.users
        self.binary = first.binary
        self.route_password = secrets.token_hex(24)
        self.nodes = []
        self.nodes = [(node or Node)(self, zone, folder, first.binary) for zone in ZONES]

    @property
    def url(self):
        return ",".join(node.url for node in self.nodes)

    @property
    def port(self):
        return next(node.port for node in self.nodes if node.alive())

    def start(self):
        for node in self.nodes:
            node.spawn()
        for node in self.nodes:
            wait_for(f"{node.name} to listen", lambda n=node: not n.alive() or n.is_ready(), 20)
            if not node.alive():
                raise Failure(f"{node.name} ended with {node.child.returncode}: {node.last_words()}")


def tripled(settings):
    """The same settings, with streams of three copies."""
    def changed(*arguments):
        made = settings(*arguments)
        for region in made.get("regions", []):
            region.get("nats", region)["stream_replicas"] = 3
        if "nats" in made:
            made["nats"]["stream_replicas"] = 3
        return made
    return changed


class R3Cluster(Cluster):
    """One region whose streams have three copies, two edges, two fold replicas, a globe."""

    def __init__(self, **options):
        super().__init__(topology=TOPOLOGY, **options)
        self.nats = {REGION: Trio(self.nats[REGION], self.folder)}
        for tier in [*self.replicas.values(), *self.edges.values(), self.globe]:
            tier.settings = tripled(tier.settings)

    @property
    def nodes(self):
        return self.nats[REGION].nodes

    def everything(self):
        return [*self.nodes, *self.replicas.values(), *self.edges.values(), self.globe]

    def current(self, stream):
        """Have all three copies of a stream all of it? False also when nobody can say so now."""
        try:
            told = ask_stream(self.nats[REGION], f"STREAM.INFO.{stream}")
        except (OSError, ValueError, StopIteration):
            return False
        group = told.get("cluster", {})
        others = group.get("replicas", [])
        return bool(group.get("leader")) and len(others) == 2 and all(
            one.get("current") and not one.get("offline") for one in others)

    def leader(self, stream):
        """The node that leads a stream, or None while there is none."""
        try:
            name = ask_stream(self.nats[REGION], f"STREAM.INFO.{stream}").get("cluster", {}).get("leader")
        except (OSError, ValueError, StopIteration):
            return None
        return next((node for node in self.nodes if node.name == name), None)

    def step_down(self, stream):
        """Has another server lead a stream."""
        with contextlib.suppress(OSError, ValueError, StopIteration):
            ask_stream(self.nats[REGION], f"STREAM.LEADER.STEPDOWN.{stream}")

    def tell_streams(self, streams):
        """For whoever reads a failed story: what the servers say of each stream, and each tier of itself."""
        for stream in streams:
            try:
                told = ask_stream(self.nats[REGION], f"STREAM.INFO.{stream}")
                print(stream, json.dumps({key: told.get(key) for key in ("state", "cluster", "error")}), flush=True)
            except (OSError, ValueError, StopIteration) as error:
                print(stream, repr(error), flush=True)
        for tier in [*self.replicas.values(), *self.edges.values(), self.globe]:
            print(tier.name, tier.admin("/readyz"), tier.last_words(3), flush=True)


class Stall(threading.Thread):
    """Watches how long the sum of all counts at the globe stands still, at most."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.cluster = cluster
        self.longest_ms = 0
        self._done = threading.Event()
        self.start()

    def run(self):
        seen, since = None, time.monotonic()
        while not self._done.wait(0.05):
            counted = self.cluster.globe.metrics()["tributary_global_rows_changed_total"]
            now = time.monotonic()
            if counted != seen:
                seen, since = counted, now
            self.longest_ms = max(self.longest_ms, round((now - since) * 1000))

    def end(self):
        self._done.set()
        self.join()
        return self.longest_ms


def wipe(process):
    """Its disk is gone."""
    shutil.rmtree(process.store, ignore_errors=True)
