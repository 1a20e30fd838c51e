# SPDX-License-Identifier: Apache-2.0
"""b04: the files in infra/nats are what this nats-server takes, and a file with a mistake in it is not."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import subprocess
import tempfile

from e2e import ROOT, expect, step, tell
from r3 import version
from region_files import SOURCE, installed
from tiers import find_nats_server, write_private


def takes(binary, path):
    done = subprocess.run([binary, "-t", "-c", path], capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stderr.strip() or done.stdout.strip()


def test():
    binary = find_nats_server(ROOT)
    known = version(binary)
    with tempfile.TemporaryDirectory(prefix="tributary-") as folder:
        subprocess.run([os.path.join(ROOT, "infra/certs/make_certs.sh"), folder, "server"], check=True)
        for name in os.listdir(SOURCE):
            text = installed(name, known, [])
            write_private(os.path.join(folder, name.replace(".example", "")), text.replace("/etc/nats/", f"{folder}/"))
        for name in ("region.conf", "pop.conf"):
            taken, told = takes(binary, os.path.join(folder, name))
            expect(taken, f"{name}: {told}")
            step(f"{name} is taken by {'.'.join(map(str, known))}")
        write_private(os.path.join(folder, "node.conf"), 'server_name: "us-a"\n')
        taken, _ = takes(binary, os.path.join(folder, "region.conf"))
        expect(not taken, "region.conf is taken without the addresses of its node: the check says nothing")


tell(test)
