# SPDX-License-Identifier: Apache-2.0
"""bench_edge_peers: nghttpd, h2o and nginx as our own children, and what a process has used of the processors."""

import json
import os
import shutil
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))
from process import Failure, Process, listens  # noqa: E402

# What the edge answers, in length: the peers say as many bytes.
ANSWER = '{"accepted":1,"refused":0,"home":"us","durability":"spooled"}'


def children_of(pid):
    """The process and all that it started."""
    found = [pid]
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
            for child in file.read().split():
                found += children_of(int(child))
    return found


def cpu_ns(pid):
    """User and system time of all threads of a process and its children, in nanoseconds (schedstat: the same time as
    in stat, but not in steps of 10 ms)."""
    total = 0
    for process in children_of(pid):
        for task in os.listdir(f"/proc/{process}/task"):
            with open(f"/proc/{process}/task/{task}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0])
    return total


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Peer(Process):
    program = None
    does = None

    def __init__(self, folder, certificate, key):
        super().__init__(self.program, folder)
        self.certificate, self.key = certificate, key
        self.port = 0
        self.root = os.path.join(folder, self.name)
        os.makedirs(self.root, exist_ok=True)

    @classmethod
    def found(cls):
        return shutil.which(cls.program, path=os.environ["PATH"] + ":/usr/sbin")

    def prepare(self):
        self.port = free_port()
        self.configure()

    def configure(self):
        pass

    def write(self, name, text):
        path = os.path.join(self.root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def version(self, *arguments):
        done = subprocess.run([self.found(), *arguments], capture_output=True, text=True, check=False)
        return (done.stdout + done.stderr).splitlines()[0]

    def is_ready(self):
        return any(listens(pid, self.port) for pid in children_of(self.pid))

    def kill(self):
        below = children_of(self.pid) if self.alive() else []
        super().kill()
        for pid in below[1:]:  # nginx's worker outlives a killed master
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass


class Nghttpd(Peer):
    program = "nghttpd"
    does = "discards the body, sends a file of the same length"

    def configure(self):
        self.write("htdocs/v1/clicks", ANSWER)

    def command(self):
        return [self.found(), "-n1", "-a", "127.0.0.1", "-m", "128", "-d", os.path.join(self.root, "htdocs"),
                "-w", "20", "-W", "22", str(self.port), self.key, self.certificate]

    def version(self):
        return super().version("--version")


class H2o(Peer):
    program = "h2o"
    does = "discards the body, redirects: its file handler takes no POST"

    def configure(self):
        self.write("h2o.conf", json.dumps({
            "listen": {"host": "127.0.0.1", "port": self.port,
                       "ssl": {"certificate-file": self.certificate, "key-file": self.key}},
            "num-threads": 1, "hosts": {"default": {"paths": {
                "/": {"redirect": {"status": 307, "url": "https://localhost/"}}}}},
            "http2-max-concurrent-requests-per-connection": 128}))

    def command(self):
        return [self.found(), "-c", os.path.join(self.root, "h2o.conf")]

    def version(self):
        return super().version("--version")


class Nginx(Peer):
    program = "nginx"
    does = "discards the body, 202, a line in its access log"

    def configure(self):
        self.write("nginx.conf", f"""
daemon off; worker_processes 1; pid {self.root}/pid; error_log {self.root}/error.log;
events {{ worker_connections 1024; }}
http {{
    client_body_temp_path {self.root}/body; proxy_temp_path {self.root}/proxy; fastcgi_temp_path {self.root}/fastcgi;
    uwsgi_temp_path {self.root}/uwsgi; scgi_temp_path {self.root}/scgi;
    access_log {self.root}/access.log; keepalive_requests 1000000000; client_max_body_size 16m;
    server {{
        listen 127.0.0.1:{self.port} ssl http2; http2_max_concurrent_streams 128;
        ssl_certificate {self.certificate}; ssl_certificate_key {self.key}; ssl_protocols TLSv1.3;
        location / {{ default_type application/json; return 202 '{ANSWER}'; }}
    }}
}}
""")

    def command(self):
        return [self.found(), "-e", f"{self.root}/error.log", "-c", os.path.join(self.root, "nginx.conf")]

    def version(self):
        return super().version("-v")


PEERS = (Nghttpd, H2o, Nginx)


def start_peers(folder, certificate, key, names=None):
    peers = []
    for kind in PEERS:
        if names and kind.program not in names:
            continue
        if not kind.found():
            raise Failure(f"{kind.program} is missing: apt-get install nghttp2-server h2o nginx-core")
        peers.append(kind(folder, certificate, key))
    for peer in peers:
        peer.start()
    return peers
