# SPDX-License-Identifier: Apache-2.0
"""d22: the archive goes to S3, which is busy, hangs, loses answers, refuses for a wrong clock and for wrong secrets; every
refusal is named, nothing is read meanwhile, and in the end the bucket holds every click. Signatures: botocore."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import json
import subprocess
import urllib.request

from avro_archive import Archive
from e2e import ROOT, Cluster, expect, expect_exact, growth, step, stop_load, tell, wait_for
from process import Process
from tiers import write_private

TOPOLOGY = {"us": {"edges": ["us-e1"], "replicas": ["us-r1"], "archivers": ["us-a1"]}}
ACCESS, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


class S3(Process):
    """tests/harness/s3_server.py, by Debian's Python, which has Debian's botocore."""

    def __init__(self, folder):
        super().__init__("s3", folder)
        self.ports = os.path.join(folder, "s3.ports")
        self.port = 0

    def command(self):
        return ["/usr/bin/python3", os.path.join(ROOT, "tests/harness/s3_server.py"), self.ports]

    def is_ready(self):
        if not os.path.exists(self.ports):
            return False
        self.port = int(open(self.ports, encoding="ascii").read().split("=")[1])
        return True

    def tell(self, **change):
        body = json.dumps(change).encode() if change else None
        url = f"http://127.0.0.1:{self.port}/-/{'control' if change else 'state'}"
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=10) as answer:
            return json.loads(answer.read() or b"{}")


def archiver_at(c, s3):
    archiver = c.archivers["us-a1"]
    secret = write_private(os.path.join(c.folder, "s3.secret"), SECRET + "\n")
    archiver.archive = {
        "object_age_ms": 1000, "object_bytes": 1 << 18,
        "s3": {"endpoint": f"http://127.0.0.1:{s3.port}", "region": "eu-test-1", "bucket": "acme-clicks",
               "prefix": "clicks/", "path_style": True, "timeout_ms": 1000, "secret_key_file": secret,
               "access_key_file": write_private(os.path.join(c.folder, "s3.access"), ACCESS + "\n")}}
    return archiver, secret


def refused(c, archiver, words):
    """It says what to look at, reads nothing, and is not ready."""
    def said():
        with open(archiver.log, encoding="utf-8") as log:
            return words in log.read()
    wait_for(f"the log to say: {words}", said, 20)
    wait_for("alarm_store_away", lambda: archiver.metrics()["tributary_archiver_alarm_store_away"] == 1, 10)
    expect(archiver.admin("/readyz")[0] == 503, "it says that it is ready")
    growth(c, 20000)
    step(f"refused: {words}")


def test():
    if subprocess.run(["/usr/bin/python3", "-c", "import botocore"], check=False, stderr=subprocess.DEVNULL).returncode:
        print("there is no botocore: install python3-botocore")
        sys.exit(77)
    with Cluster(topology=TOPOLOGY, lateness_ms=1000) as c:
        s3 = S3(c.folder)
        s3.start()
        try:
            archiver, secret = archiver_at(c, s3)
            c.start()
            load = c.send(rate=1500, seconds=90, ads=300, connections=2, drain_seconds=60)
            growth(c, 30000)
            for trouble, count in (("503", 3), ("500", 2), ("lost", 2), ("cut", 2), ("hang", 2)):
                before = s3.tell()["requests"]
                s3.tell(fail=trouble, count=count)
                wait_for(f"{trouble} to be met", lambda b=before, n=count: s3.tell()["requests"] >= b + n, 20)
            s3.tell(skew_s=3600)
            refused(c, archiver, "the clock of this machine is off")
            s3.tell(skew_s=0)
            archiver.kill()
            write_private(secret, "another\n")
            archiver.start()
            refused(c, archiver, "secret_key_file holds another secret")
            archiver.kill()
            write_private(secret, SECRET + "\n")
            archiver.start()
            growth(c, 30000)
            stop_load(c, load)
            expect_exact(c)
            held = lambda: sum(v for k, v in c.edges["us-e1"].metrics().items()
                               if k.startswith("tributary_edge_reader_held"))
            wait_for("the archive to hold everything", lambda: held() == 0, 40, 0.1)
            state = s3.tell()
            codes = set(state["refused"])
            expect(codes == {"SlowDown", "InternalError", "RequestTimeTooSkewed", "SignatureDoesNotMatch"},
                   f"refused for {codes}")
            folder = os.path.join(c.folder, "bucket")
            s3.tell(dump=folder)
            archive = Archive(os.path.join(folder, "clicks"))
            folded = sum(v for k, v in c.replicas["us-r1"].metrics().items()
                         if k.startswith("tributary_regional_partition_folded"))
            step(f"{state['requests']} requests; {archive.objects} objects hold {archive.clicks()} clicks")
            expect(archive.clicks() == folded and not archive.holes(), f"{folded:.0f} folded")
            expect(sum(sum(m.values()) for m in archive.counts().values()) ==
                   sum(v for k, v in c.replicas["us-r1"].metrics().items()
                       if k.startswith("tributary_regional_partition_counted")), "distinct clicks differ")
        finally:
            s3.kill()


tell(test)
