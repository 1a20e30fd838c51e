# SPDX-License-Identifier: Apache-2.0
"""bench_archive: the whole archiver: clicks wait in the streams of a nats-server, tributary-archiver reads them into a
folder, and its user and system time is divided by their number. Gated on exact counts.

    bench_archive.py BENCH_PROGRAM BIN [--check] [--clicks N]"""

import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "harness"))

# pylint: disable=wrong-import-position
from process import Failure, Process, wait_for
from tiers import Tier, find_nats_server

ROOT = os.path.dirname(os.path.dirname(HERE))
BAR_US, BAR_PERCENT = 1.0, 20.0


class Server(Process):
    def __init__(self, folder):
        super().__init__("nats", folder)
        self.port = 0

    def command(self):
        return [find_nats_server(ROOT), "-a", "127.0.0.1", "-p", "-1", "-js", "-sd", os.path.join(self.folder, "js"),
                "--ports_file_dir", self.folder]

    def is_ready(self):
        path = os.path.join(self.folder, f"nats-server_{self.pid}.ports")
        if os.path.exists(path) and os.path.getsize(path) > 0:
            self.port = int(json.load(open(path, encoding="ascii"))["nats"][0].rsplit(":", 1)[1])
        return self.port > 0


class Archiver(Tier):
    program = "tributary-archiver"

    def __init__(self, folder, bin_folder, url, codec):
        super().__init__(f"us-a-{codec}", folder, bin_folder)
        self.url, self.codec = url, codec
        self.archive = os.path.join(folder, f"archive-{codec}")

    def settings(self):
        return {"archiver": self.name, "region": "us", "admin_listen": "127.0.0.1:0", "ports_file": self.ports_file,
                "store": {"path": self.store}, "nats": {"url": self.url},
                "archive": {"folder": self.archive, "codec": self.codec, "object_bytes": 16 << 20,
                            "object_age_ms": 2000}}

    def cpu_s(self):
        fields = open(f"/proc/{self.pid}/stat", encoding="ascii").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(folder, bin_folder, url, codec, clicks):
    """(CPU us a click, archive bytes a click)"""
    archiver = Archiver(folder, bin_folder, url, codec)
    archiver.start()
    try:
        idle_s = archiver.cpu_s()
        wait_for("every click to be archived",
                 lambda: archiver.metrics()["tributary_archiver_object_clicks_total"] >= clicks, 100, 0.2)
        cpu_s = archiver.cpu_s() - idle_s
        if archiver.metrics()["tributary_archiver_object_clicks_total"] != clicks:
            raise Failure("another number of clicks is archived than was sent")
    finally:
        archiver.kill()
    size = sum(os.path.getsize(os.path.join(path, name)) for path, _, names in os.walk(archiver.archive) for name in names)
    return cpu_s * 1e6 / clicks, size / clicks


def main():
    program, bin_folder = sys.argv[1:3]
    clicks = int(sys.argv[sys.argv.index("--clicks") + 1]) if "--clicks" in sys.argv else 1000000
    folder = tempfile.mkdtemp(prefix="tributary-bench-")
    server = Server(folder)
    missed = False
    try:
        server.start()
        url = f"nats://127.0.0.1:{server.port}"
        made, json_bytes = subprocess.run([program, "publish", url, str(clicks)], check=True, capture_output=True,
                                          text=True).stdout.split()
        print(f"the whole process, {made} clicks of {json_bytes} B of JSON, segments of 2,000, folder\n")
        print("| codec | CPU us a click | bar | archive B a click | % of JSON | bar |\n| --- | --- | --- | --- | --- | --- |")
        for codec in ("snappy", "zstandard"):
            us, size = measure(folder, bin_folder, url, codec, int(made))
            percent = 100 * size / float(json_bytes)
            missed = missed or us > BAR_US or percent > BAR_PERCENT
            print(f"| {codec} | {us:.2f} | {BAR_US}{', missed' if us > BAR_US else ''} | {size:.1f} | {percent:.1f} | "
                  f"{BAR_PERCENT:.0f}{', missed' if percent > BAR_PERCENT else ''} |", flush=True)
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if missed and "--check" in sys.argv else 0


sys.exit(main())
