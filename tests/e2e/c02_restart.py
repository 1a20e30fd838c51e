# SPDX-License-Identifier: Apache-2.0
"""c02: restarts under load with the listening socket held by a service manager: no connection is refused, no request
fails, and the ledger is exact. RESTARTS=20 for the long form."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import socket
import threading
import time

import raw_h2 as h2
from e2e import Cluster, expect, expect_exact, growth, step, stop_load, tell

RESTARTS = int(os.environ.get("RESTARTS", "6"))
ONE = {"us": {"edges": ["us-e1"], "replicas": ["us-r1"]}}
HANDED = 'exec 3<&"$1"; shift; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'  # as systemd hands over one socket


def heard(manager):
    """What the edge has told since the last look."""
    words = []
    try:
        while True:
            words.append(manager.recv(4096).decode().split("\n")[0])
    except BlockingIOError:
        return words


class Visitors:
    """Comes anew all the time, with one request each; an answer may take its time but must come."""

    def __init__(self, address, ca):
        self.address, self.ca = address, ca
        self.count, self.failures, self.over = 0, [], False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def visit(self):
        """GOAWAY without an answer says by the protocol that nothing was done: an honest client comes again."""
        for _ in range(20):
            raw = h2.Raw(self.address, self.ca)
            good = raw.home(1)
            away = raw.goaway
            raw.close()
            if good or away != 0:
                return good
        return False

    def run(self):
        while not self.over:
            self.count += 1
            try:
                if not self.visit():
                    self.failures.append("no answer")
            except OSError as error:
                self.failures.append(str(error))
            time.sleep(0.002)


def test():
    with Cluster(topology=ONE) as c, socket.create_server(("127.0.0.1", 0), backlog=1024) as listener, \
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        edge = c.edges["us-e1"]
        edge.addresses["listen"] = f"127.0.0.1:{listener.getsockname()[1]}"
        edge.pass_files = [listener.fileno()]
        edge.wrap = ["sh", "-c", HANDED, "sh", str(listener.fileno())]
        manager.bind(os.path.join(c.folder, "notify"))
        manager.setblocking(False)
        edge.environment = {"NOTIFY_SOCKET": os.path.join(c.folder, "notify")}
        c.start()
        expect(heard(manager) == ["READY=1"], "the service manager was not told READY")
        load = c.send(rate=1000, seconds=300, ads=100, connections=2)
        growth(c, 5000)
        visitors = Visitors(edge.addresses["listen"], c.ca)
        for i in range(RESTARTS):
            begin = time.monotonic()
            code = edge.stop()
            expect(code == 0, f"exit code {code}")
            edge.start()
            words = heard(manager)
            expect(words == ["STOPPING=1", "READY=1"], f"the service manager was told {words}")
            step(f"restart {i + 1} took {time.monotonic() - begin:.2f} s")
            growth(c, 5000)
        visitors.over = True
        visitors.thread.join()
        answer = stop_load(c, load)
        step(f"{visitors.count} visitors, {len(visitors.failures)} not served {visitors.failures[:3]}; "
             f"{answer['accepted']} clicks accepted, {answer['unknown_attempts']} requests failed")
        expect(not visitors.failures, f"visitors were not served: {visitors.failures[:3]}")
        expect(answer["unknown_attempts"] == 0, f"requests failed: {answer}")
        expect_exact(c)


tell(test)
