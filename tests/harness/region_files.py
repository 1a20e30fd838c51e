# SPDX-License-Identifier: Apache-2.0
"""region_files: the files of infra/nats, installed as on four hosts, but on loopback: three servers and a POP."""

import json
import os
import re
import secrets
import subprocess
import urllib.request

from cluster import ROOT
from process import Failure, listens
from r3 import Node, R3Cluster, Trio, free_ports, password_of, version
from tiers import Nats, write_private

SOURCE = os.path.join(ROOT, "infra/nats")
EDGE = "us-e1"


def installed(name, known, changes):
    """The text of a file with values of this host. A change that does not apply is a mistake of the test or the file."""
    with open(os.path.join(SOURCE, name), encoding="utf-8") as file:
        lines = [line for line in file.read().splitlines() if "# [2.10]" not in line or known >= (2, 10, 0)]
    text = "\n".join(lines) + "\n"
    for pattern, value in changes:
        text, count = re.subn(pattern, lambda _, v=value: v, text)
        if count == 0:
            raise Failure(f"infra/nats/{name} has nothing like {pattern}")
    return text


class FileNode(Node):
    """One server of the region, by region.conf, node.conf and secrets.conf."""

    def __init__(self, trio, zone, folder, binary):
        super().__init__(trio, zone, folder, binary)
        self.leaf_port = free_ports(1)[0]
        self.home = os.path.join(folder, f"{self.name}.etc")
        self.config = os.path.join(self.home, "region.conf")

    def prepare(self):
        known = version(self.binary)
        os.makedirs(self.home, exist_ok=True)
        route = lambda node: f'"tls://route:{self.trio.route_password}@127.0.0.1:{node.route_port}"'
        files = {
            "region.conf": [("/etc/nats/", f"{self.trio.certs}/"), (r"(?m)^port: 4222", f"port: {self.port}"),
                            (r'(?m)^http: "[^"]*".*\n', ""), (r'"/var/lib/nats"', json.dumps(self.store))],
            "node.conf": [(r'server_name: "[^"]*"', f'server_name: "{self.name}"'), (r'"zone:a"', f'"zone:{self.zone}"'),
                          (r'(?m)^host: "[^"]*"', 'host: "127.0.0.1"'),
                          (r'ROUTE_LISTEN: "[^"]*"', f'ROUTE_LISTEN: "127.0.0.1:{self.route_port}"'),
                          (r'LEAF_(LISTEN|ADVERTISE): "[^"]*"', "")],
            "secrets.conf": [(r'ROUTE_PASSWORD: "[^"]*"', f'ROUTE_PASSWORD: "{self.trio.route_password}"'),
                             *[(rf'ROUTE_{n.zone.upper()}: "[^"]*"', f"ROUTE_{n.zone.upper()}: {route(n)}")
                               for n in self.trio.nodes],
                             (r'POP_US_E1_PASSWORD: "[^"]*"', f'POP_US_E1_PASSWORD: "{self.trio.pop_password}"'),
                             *[(rf'(?<!POP_){user.upper().replace("-", "_")}_PASSWORD: "[^"]*"',
                                f'{user.upper().replace("-", "_")}_PASSWORD: "{password_of(path)}"')
                               for user, path in self.users.items()]]}
        for name, changes in files.items():
            text = installed(name if name == "region.conf" else name.replace(".conf", ".example.conf"), known, changes)
            if name == "node.conf":
                text += f'LEAF_LISTEN: "127.0.0.1:{self.leaf_port}"\nLEAF_ADVERTISE: "127.0.0.1:{self.leaf_port}"\n'
            write_private(os.path.join(self.home, name), text)

    def is_ready(self):
        return super().is_ready() and listens(self.pid, self.leaf_port)


class FileTrio(Trio):
    def __init__(self, first, folder, certs):
        self.certs = certs
        self.pop_password = secrets.token_hex(24)
        super().__init__(first, folder, node=FileNode)


class Pop(Nats):
    """The server beside an edge, by pop.conf: stores nothing, joins its region with the edge's own rights."""

    def __init__(self, trio, folder):
        super().__init__("pop", folder, trio.nodes[0].binary, [])
        self.name = f"pop-{EDGE}"
        self.trio = trio
        self.log = os.path.join(folder, f"{self.name}.log")
        self.home = os.path.join(folder, f"{self.name}.etc")
        self.config = os.path.join(self.home, "pop.conf")
        self.user = f"edge-{EDGE}"
        self.guarded = True  # its own file limits its user; else only the region does
        self.local = write_private(os.path.join(folder, f"{self.name}.password"), secrets.token_hex(24) + "\n")
        self.port, self.monitor_port = free_ports(2)

    def prepare(self):
        os.makedirs(self.home, exist_ok=True)
        known = version(self.binary)
        leaf = lambda node: f'"tls://pop-{EDGE}:{self.trio.pop_password}@127.0.0.1:{node.leaf_port}"'
        changes = [("/etc/nats/", f"{self.trio.certs}/"), (r'listen: "127.0.0.1:4222"', f'listen: "127.0.0.1:{self.port}"')]
        if not self.guarded:
            changes += [(r"publish: \[[^]]*\]", 'publish: [">"]'), (r"subscribe: \[[^]]*\]", 'subscribe: [">"]')]
        text = installed("pop.conf", known, changes) + f'http: "127.0.0.1:{self.monitor_port}"\n'
        write_private(self.config, text)
        write_private(os.path.join(self.home, "pop_secrets.conf"), installed("pop_secrets.example.conf", known, [
            (r'EDGE_LOCAL_PASSWORD: "[^"]*"', f'EDGE_LOCAL_PASSWORD: "{password_of(self.local)}"'),
            *[(rf'US_LEAF_{node.zone.upper()}: "[^"]*"', f"US_LEAF_{node.zone.upper()}: {leaf(node)}")
              for node in self.trio.nodes]]))

    def is_ready(self):
        return listens(self.pid, self.port) and listens(self.pid, self.monitor_port)

    def links(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.monitor_port}/leafz", timeout=5) as answer:
            return json.load(answer).get("leafs") or []

    def linked_to(self, node):
        return any(leaf["port"] == node.leaf_port for leaf in self.links())

    def messages(self):
        """Messages that its leaf links have carried out; None while there is no link."""
        leafs = self.links()
        return sum(leaf["out_msgs"] for leaf in leafs) if leafs else None


class FilesCluster(R3Cluster):
    """A region of three servers by the files; its edge us-e1 is in a POP and knows only the server beside it."""

    def __init__(self, **options):
        super().__init__(**options)
        first = self.nats["us"]
        self.nats = {"us": FileTrio(first, self.folder, self.certs)}
        self.pop = Pop(self.nats["us"], self.folder)
        edge = self.edges[EDGE]
        plain = edge.settings
        edge.settings = lambda: self.through_pop(plain())

    def everything(self):
        return [self.pop, *super().everything()]

    def through_pop(self, made):
        made["regions"][0].update(nats_url=self.pop.url, password_file=self.pop.local)
        return made

    def start_with_pop(self):
        """start() makes the certificates, which the leaf needs: they are made here a moment earlier."""
        script = os.path.join(ROOT, "infra/certs/make_certs.sh")
        done = subprocess.run([script, self.certs, "server"], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failure(f"certificates cannot be made: {done.stderr.strip()}")
        self.pop.start()
        return self.start()
