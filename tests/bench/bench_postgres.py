# SPDX-License-Identifier: Apache-2.0
"""bench_postgres: a scratch PostgreSQL cluster for benches, and what it has used of the processors."""
import os
import pwd
import subprocess
import sys
import time

POSTGRES = "/usr/lib/postgresql/15"


def ticks_of(root):
    """CPU ticks of the postmaster, its children, and those of them that are gone."""
    total = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(pid) == root:
            total += sum(map(int, fields[11:15]))
        elif int(fields[1]) == root:
            total += sum(map(int, fields[11:13]))
    return total


class Postgres:
    """A cluster of one's own in a temporary folder, on a unix socket, run as user postgres."""

    def __init__(self, folder):
        self.folder = os.path.join(folder, "pg")
        os.mkdir(self.folder, 0o700)
        self.user = {}
        if os.getuid() == 0:
            entry = pwd.getpwnam("postgres")
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
            self.user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        data = os.path.join(self.folder, "data")
        subprocess.run([POSTGRES + "/bin/initdb", "-D", data, "-A", "trust", "-U", "bench"], check=True,
                       stdout=subprocess.DEVNULL, cwd=self.folder, **self.user)
        self.server = subprocess.Popen(
            [POSTGRES + "/bin/postgres", "-D", data, "-k", self.folder, "-c", "listen_addresses=", "-c", "autovacuum=off",
             "-c", "max_wal_size=4GB", "-c", "shared_buffers=256MB", "-c", "work_mem=64MB"], cwd=self.folder,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **self.user)
        deadline = time.monotonic() + 20
        while self.sql("SELECT 1", quiet=True) != "1":
            if time.monotonic() > deadline:
                sys.exit("PostgreSQL does not start")
            time.sleep(0.1)

    def sql(self, text, quiet=False):
        done = subprocess.run(["psql", "-h", self.folder, "-U", "bench", "-d", "postgres", "-qAtX", "-v",
                               "ON_ERROR_STOP=1"], input=text, capture_output=True, text=True, check=False)
        if done.returncode != 0 and not quiet:
            sys.exit("psql: " + done.stderr)
        return done.stdout.strip()

    def stop(self):
        self.server.terminate()
        self.server.wait()
