# SPDX-License-Identifier: Apache-2.0
"""bench_region: runs the rounds, owns the scratch PostgreSQL cluster, and judges. Called by bench_region.sh."""
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from bench_postgres import POSTGRES, Postgres, ticks_of

CLICKS = int(os.environ.get("BENCH_CLICKS", 1000000))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", 2))
BATCH = 10000
BARS = (("ours us a click", 0.6, True), ("ours bytes written a click", 50, True),
        ("ours restart s per 10M", 3, True), ("sqlite / ours", 8, False),
        ("postgres / ours", 40, False))

INSERT = """
WITH one AS MATERIALIZED (SELECT DISTINCT ON (key) * FROM stage),
fresh AS (INSERT INTO seen SELECT key FROM one ON CONFLICT DO NOTHING RETURNING key)
INSERT INTO rows SELECT minute, ad, count(*), hll_add_agg(hll_hash_bigint(usr), 12) FROM one JOIN fresh USING (key)
GROUP BY minute, ad ON CONFLICT (minute, ad) DO UPDATE
SET counted = rows.counted + excluded.counted, users = hll_union(rows.users, excluded.users);
"""


def run(program, *words):
    """One run of the C program; its line as numbers."""
    done = subprocess.run([program, *words, str(CLICKS)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"bench_region {words[0]}: wrong counts or failed: {done.stdout}{done.stderr}")
    return {k: float(v) for k, v in (pair.split("=") for pair in done.stdout.split())}


def client_cpu_s():
    """CPU of all clients that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Region(Postgres):
    """The same fold in SQL."""

    def __init__(self, folder):
        super().__init__(folder)
        self.sql("CREATE EXTENSION hll")

    def round(self, lines):
        """CPU of server and client, in us a click."""
        self.sql("DROP TABLE IF EXISTS seen, rows; CREATE TABLE seen(key uuid PRIMARY KEY);"
                 "CREATE TABLE rows(minute int, ad text, counted bigint, users hll, PRIMARY KEY(minute, ad));")
        script = ["CREATE TEMP TABLE stage(key uuid, minute int, ad text, usr bigint);\n"]
        for first in range(0, len(lines), BATCH):
            script += ["BEGIN; TRUNCATE stage;\nCOPY stage FROM stdin;\n", *lines[first:first + BATCH], "\\.\n", INSERT,
                       "COMMIT;\n"]
        before = ticks_of(self.server.pid)
        client_s = client_cpu_s()
        self.sql("".join(script))
        client_s = client_cpu_s() - client_s
        time.sleep(0.5)  # for the backend to be reaped: only then is its time its parent's
        ticks = ticks_of(self.server.pid) - before
        counted = int(self.sql("SELECT sum(counted) FROM rows"))
        return (ticks / os.sysconf("SC_CLK_TCK") + client_s) * 1e6 / len(lines), counted


def main():
    program = os.path.abspath(sys.argv[1])
    folder = tempfile.mkdtemp(prefix="bench_region.", dir="/var/tmp")
    os.chmod(folder, 0o755)
    server, ours, stored, sqlite, postgres = None, [], [], [], []
    try:
        csv = os.path.join(folder, "clicks")
        expected = run(program, "csv", csv)["counted"]
        with open(csv, encoding="ascii") as text:
            lines = text.readlines()
        if os.path.exists(POSTGRES + "/share/extension/hll.control") or \
                os.path.exists("/usr/share/postgresql/15/extension/hll.control"):
            server = Region(folder)
        for number in range(ROUNDS):
            ours.append(run(program, "ours", os.path.join(folder, f"lmdb{number}")))
            stored.append(run(program, "stored", os.path.join(folder, f"stored{number}")))
            sqlite.append(run(program, "sqlite", os.path.join(folder, f"sqlite{number}")))
            if server is not None:
                us, counted = server.round(lines)
                if counted != expected:
                    sys.exit(f"bench_region: postgres counted {counted} of {expected}")
                postgres.append(us)
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(folder)

    us = statistics.median(r["cpu_us"] for r in ours)
    found = {"ours us a click": us,
             "ours bytes written a click": statistics.median(r["written"] for r in ours),
             "ours restart s per 10M": statistics.median(r["load_s_per_10M"] for r in ours),
             "sqlite / ours": statistics.median(r["cpu_us"] for r in sqlite) / us}
    if postgres:
        found["postgres / ours"] = statistics.median(postgres) / us
    print(f"{CLICKS} clicks, {ROUNDS} rounds, cuts of {BATCH}; every count exact; bytes by /proc/self/io write_bytes")
    for name, rows in (("ours", ours), ("stored", stored), ("sqlite", sqlite)):
        print(f"{name:10}", *(" ".join(f"{k}={v:g}" for k, v in r.items()) + ";" for r in rows))
    print("postgres  ", *([f"cpu_us={u:.1f};" for u in postgres] or ["skipped: no postgresql-15-hll"]))
    missed = 0
    for name, bar, most in BARS:
        if name not in found:
            continue
        good = found[name] <= bar if most else found[name] >= bar
        missed += not good
        print(f"{name:28} {found[name]:8.3f}  bar {'<=' if most else '>='} {bar:<5} {'ok' if good else 'MISSED'}")
    return 1 if missed and "--check" in sys.argv else 0


sys.exit(main())
