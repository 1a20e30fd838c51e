# SPDX-License-Identifier: Apache-2.0
"""tiers: how nats-server, tributary-edge, tributary-regional and tributary-global are configured and started."""

import glob
import json
import os
import secrets
import shutil
import urllib.error
import urllib.request

from process import Failure, Process, listens

PARTITIONS = 4
PARTITIONS_MOST = 8  # that a test may let a region grow to


def write_private(path, text):
    """Secrets and configurations with secrets: readable by us alone."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    return path


def yaml(value, depth=0):
    """Enough YAML for our configurations: mappings, lists, numbers, booleans, strings in quotes."""
    pad = "  " * depth
    if isinstance(value, dict):
        lines = []
        for key, item in value.items():
            if item is None:
                continue
            if isinstance(item, (dict, list)) and item:
                lines.append(f"{pad}{key}:\n{yaml(item, depth + 1)}")
            else:
                lines.append(f"{pad}{key}: {yaml(item)}")
        return "\n".join(lines)
    if isinstance(value, list):
        if not any(isinstance(item, (dict, list)) for item in value):
            return pad + "[" + ", ".join(yaml(item) for item in value) + "]"
        return "\n".join(f"{pad}- " + yaml(item, depth + 1).lstrip() for item in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else json.dumps(value)


def find_nats_server(root):
    unpacked = os.path.join(root, ".deps/nats/usr/sbin/nats-server")
    for path in (os.environ.get("NATS_SERVER"), unpacked, shutil.which("nats-server")):
        if path and os.access(path, os.X_OK):
            return path
    raise Failure("there is no nats-server: run ./dev setup, or name one in NATS_SERVER")


class Nats(Process):
    """The nats-server of one region, with users that may do what they must and nothing else."""

    def __init__(self, region, folder, binary, edges):
        super().__init__(f"nats-{region}", folder)
        self.region = region
        self.binary = binary
        self.store = os.path.join(folder, f"{self.name}.store")
        self.config = os.path.join(folder, f"{self.name}.conf")
        self.port = -1
        self.users = {}
        for user in [f"edge-{edge}" for edge in edges] + ["regional", "archiver", "global", "operator"]:
            path = os.path.join(folder, f"{self.name}-{user}.password")
            write_private(path, secrets.token_hex(24) + "\n")
            self.users[user] = path

    @property
    def url(self):
        return f"nats://127.0.0.1:{self.port}"

    def permissions(self, user):
        """(publish, subscribe) that a user needs, and nothing else."""
        r = self.region
        partials = f"PARTIALS_{r}"
        clicks = [f"CLICKS_{r}_{p}" for p in range(PARTITIONS_MOST)]
        # The server maps $JS.<domain>.API to $JS.API before it looks at permissions; both names must be allowed.
        api = lambda verbs: [f"{prefix}.{verb}" for prefix in (f"$JS.{r}.API", "$JS.API") for verb in verbs]
        ensure = lambda streams: api([f"STREAM.{verb}.{s}" for s in streams for verb in ("CREATE", "INFO")])
        if user.startswith("edge-"):
            edge = user[len("edge-"):]
            return [f"clicks.{r}.*.edge.{edge}", *ensure(clicks)], [f"floors.{r}.{edge}.*", "_INBOX.>"]
        if user == "regional":
            return [f"clicks.{r}.*.tick.>", f"partials.{r}.>", f"floors.{r}.>", "$JS.ACK.>", "_INBOX.>",
                    *api([">"])], [f"want.{r}.>", f"roster.{r}", "_INBOX.>"]
        if user == "archiver":
            read = [f"{verb}.{s}" for s in clicks for verb in ("STREAM.MSG.GET", "CONSUMER.CREATE")]
            below = [f"{verb}.{s}.>" for s in clicks for verb in (
                "CONSUMER.CREATE", "CONSUMER.DURABLE.CREATE", "CONSUMER.MSG.NEXT", "CONSUMER.INFO", "CONSUMER.DELETE")]
            return [f"floors.{r}.>", "$JS.ACK.>", *ensure(clicks), *api(read), *api(below)], ["_INBOX.>"]
        if user == "global":
            verbs = ["STREAM.MSG.GET", "CONSUMER.CREATE", "CONSUMER.CREATE.*", "CONSUMER.NAMES"]
            below = ["CONSUMER.CREATE", "CONSUMER.DURABLE.CREATE", "CONSUMER.MSG.NEXT", "CONSUMER.INFO",
                     "CONSUMER.DELETE"]
            return [f"want.{r}.>", f"$JS.ACK.{partials}.>", f"$JS.ACK.{r}.>", *ensure([partials]),
                    *api([f"{verb}.{partials}" for verb in verbs]),
                    *api([f"{verb}.{partials}.>" for verb in below])], ["_INBOX.>"]
        return [f"clicks.{r}.*.control", f"roster.{r}", *ensure(clicks + [partials])], ["_INBOX.>"]

    def prepare(self):
        for old in glob.glob(os.path.join(self.folder, "nats-server_*.ports")):
            os.unlink(old)
        users = []
        for user, path in self.users.items():
            publish, subscribe = self.permissions(user)
            users.append({"user": user, "password": open(path, encoding="ascii").read().strip(),
                          "permissions": {"publish": {"allow": publish}, "subscribe": {"allow": subscribe}}})
        write_private(self.config, json.dumps({
            "server_name": self.name, "host": "127.0.0.1", "port": self.port,
            "ports_file_dir": self.folder, "pid_file": os.path.join(self.folder, f"{self.name}.pid"),
            "jetstream": {"store_dir": self.store, "domain": self.region, "max_memory_store": 1 << 26,
                          "max_file_store": 1 << 34},
            "authorization": {"users": users}}, indent=1))

    def command(self):
        return [self.binary, "-c", self.config]

    def is_ready(self):
        path = os.path.join(self.folder, f"nats-server_{self.pid}.ports")
        try:
            urls = json.load(open(path, encoding="ascii"))["nats"]
        except (OSError, ValueError):
            return False
        self.port = int(urls[0].rsplit(":", 1)[1])
        return listens(self.pid, self.port)


class Tier(Process):
    """A program of ours: a YAML file, a ports file, an admin port."""

    program = None

    def __init__(self, name, folder, bin_folder):
        super().__init__(name, folder)
        self.binary = os.path.join(bin_folder, self.program)
        self.config = os.path.join(folder, f"{name}.yaml")
        self.ports_file = os.path.join(folder, f"{name}.ports")
        self.store = os.path.join(folder, f"{name}.store")
        self.addresses = {}
        self.arguments = []
        self.changes = {}

    def settings(self):
        raise NotImplementedError

    def address(self, which):
        """The address of an earlier start, so that clients find us again; else a free port."""
        return self.addresses.get(which, "127.0.0.1:0")

    def write_config(self):
        settings = self.settings()
        settings.update(self.changes)
        write_private(self.config, yaml(settings) + "\n")

    def prepare(self):
        if os.path.exists(self.ports_file):
            os.unlink(self.ports_file)
        self.write_config()

    def command(self):
        return [self.binary, "--config", self.config] + self.arguments

    def is_ready(self):
        try:
            lines = open(self.ports_file, encoding="ascii").read().split()
        except OSError:
            return False
        found = dict(line.split("=", 1) for line in lines)
        for which, address in found.items():
            if not listens(self.pid, int(address.rsplit(":", 1)[1])):
                raise Failure(f"{address} is not held by {self.name}")
        self.addresses = found
        return True

    def admin(self, path, seconds=5.0):
        """(status, text) of the admin port; (0, reason) when it does not answer."""
        try:
            with urllib.request.urlopen(f"http://{self.addresses['admin']}{path}", timeout=seconds) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")
        except (OSError, KeyError) as error:
            return 0, str(error)

    def metrics(self):
        """{name or name{labels}: value}"""
        status, text = self.admin("/metrics")
        if status != 200:
            raise Failure(f"{self.name}: no metrics: {text}")
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        return {key: float(value) for key, value in (line.rsplit(" ", 1) for line in lines)}


class Edge(Tier):
    program = "tributary-edge"

    def __init__(self, name, region, cluster):
        super().__init__(name, cluster.folder, cluster.bin)
        self.region = region
        self.cluster = cluster

    def settings(self):
        c = self.cluster
        return {
            "id": self.name, "region": self.region, "listen": self.address("listen"),
            "admin_listen": self.address("admin"), "ports_file": self.ports_file, "workers": 2,
            "partitions": PARTITIONS, "horizon_hours": 24, "replication_budget_ms": 30, "heartbeat_ms": 1000,
            "publish_timeout_ms": 5000, "log_level": c.log_level,
            "tls": {"certificate_file": c.certificate, "key_file": c.key},
            "spool": {"path": self.store, "bytes": c.spool_bytes}, "dedupe_key_file": c.dedupe_key,
            "regions": [{"name": region, "nats_url": c.nats[region].url, "user": f"edge-{self.name}",
                         "password_file": c.nats[region].users[f"edge-{self.name}"], "domain": region,
                         "stream_replicas": 1,
                         "readers": [r.name for r in c.replicas_of(region)],
                         "archivers": [a.name for a in c.archivers_of(region)] or None}
                        for region in c.nats]}


class Replica(Tier):
    program = "tributary-regional"

    def __init__(self, name, region, cluster):
        super().__init__(name, cluster.folder, cluster.bin)
        self.region = region
        self.cluster = cluster

    def settings(self, user="regional"):
        nats = self.cluster.nats[self.region]
        return {
            "replica": self.name, "region": self.region, "partitions_total": PARTITIONS,
            "partitions": f"0-{PARTITIONS - 1}", "admin_listen": self.address("admin"),
            "ports_file": self.ports_file, "log_level": self.cluster.log_level,
            "store": {"path": self.store, "bytes": 1 << 31},
            "nats": {"url": nats.url, "user": user, "password_file": nats.users[user], "domain": self.region,
                     "stream_replicas": 1},
            "allowed_lateness_ms": self.cluster.lateness_ms, "horizon_hours": 24, "partial_interval_ms": 1000,
            "settle_ms": 1000}  # so that closed minutes leave memory, and late clicks read them, in every test

    def write_control_config(self):
        """The same file for the operator's tool, with the operator's own credentials."""
        path = os.path.join(self.folder, f"ctl-{self.region}.yaml")
        settings = self.settings("operator")
        settings.update(self.changes)
        return write_private(path, yaml(settings) + "\n")


class Archiver(Tier):
    program = "tributary-archiver"

    def __init__(self, name, region, cluster):
        super().__init__(name, cluster.folder, cluster.bin)
        self.region = region
        self.cluster = cluster
        self.archive = {"folder": os.path.join(cluster.folder, "archive"), "object_bytes": 1 << 18,
                        "object_age_ms": 1000}

    def settings(self):
        nats = self.cluster.nats[self.region]
        return {
            "archiver": self.name, "region": self.region, "partitions_total": PARTITIONS,
            "admin_listen": self.address("admin"), "ports_file": self.ports_file,
            "log_level": self.cluster.log_level, "store": {"path": self.store},
            "nats": {"url": nats.url, "user": "archiver", "password_file": nats.users["archiver"],
                     "domain": self.region, "stream_replicas": 1},
            "archive": self.archive}


class Global(Tier):
    program = "tributary-global"

    def __init__(self, name, cluster):
        super().__init__(name, cluster.folder, cluster.bin)
        self.cluster = cluster

    def settings(self):
        c = self.cluster
        return {
            "id": self.name, "listen": self.address("listen"), "admin_listen": self.address("admin"),
            "ports_file": self.ports_file, "log_level": c.log_level, "workers": 2,
            "tls": {"certificate_file": c.certificate, "key_file": c.key},
            "store": {"path": self.store, "bytes": 1 << 31},
            "regions": [{"name": region, "nats": {"url": nats.url, "user": "global",
                                                  "password_file": nats.users["global"], "domain": region}}
                        for region, nats in c.nats.items()]}
