# SPDX-License-Identifier: Apache-2.0
"""b21: what an operator asks: tributaryctl of a living system, its exit codes, its man page; metrics that alerts name."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import json
import re
import shutil
import subprocess
import time

import alert_files
from e2e import ROOT, Cluster, ask, click, expect, step, tell, wait_count, wait_for
from tiers import write_private

NO, USAGE, TEMPORARY, NOT_ALLOWED, CONFIG = 1, 64, 75, 77, 78
COMMANDS = ("stats", "top", "ads", "balance", "watermarks", "edge", "config")


class Tool:
    """tributaryctl with its environment."""

    def __init__(self, cluster):
        self.binary = os.path.join(cluster.bin, "tributaryctl")
        self.environment = {**os.environ, "TRIBUTARY_CA": cluster.ca,
                            "TRIBUTARY_GLOBE": f"https://{cluster.globe.addresses['listen']}"}

    def run(self, *words, **environment):
        done = subprocess.run([self.binary, *words], capture_output=True, text=True, timeout=40, check=False,
                              env={**self.environment, **environment})
        expect("runtime error" not in done.stderr and "Sanitizer" not in done.stderr, done.stderr)
        return done.returncode, done.stdout, done.stderr

    def good(self, *words, **environment):
        code, out, error = self.run(*words, **environment)
        expect(code == 0, f"{' '.join(words)} ended with {code}: {error}{out}")
        return out

    def bad(self, code, *words, **environment):
        got, out, error = self.run(*words, **environment)
        expect(got == code and error and not out, f"{' '.join(words)} ended with {got}, not {code}: {error}{out}")
        return error


def check_pages(tool):
    """Help, man page and completion know the same options."""
    manual = os.path.join(ROOT, "docs/man/tributaryctl.1")
    page = open(manual, encoding="utf-8").read()
    completion = os.path.join(ROOT, "infra/completion/tributaryctl.bash")
    for command in COMMANDS:
        expect(re.search(rf"^\s+{command}\b", tool.good("--help"), re.M), f"--help does not know {command}")
        text = tool.good(command, "--help")
        for option in set(re.findall(r"--([a-z][a-z-]+)", text)):
            expect(option == "help" or f"Fl -{option}" in page, f"man page: {command} --{option} is missing")
            last = 3 if command in ("edge", "config") else 2
            words = ["tributaryctl", command, "list", f"--{option}"][:last] + [f"--{option}"]
            script = f"""source '{completion}'; COMP_WORDS=({' '.join(words)}); COMP_CWORD={last}
                _tributaryctl; echo "${{COMPREPLY[@]}}" """
            said = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False).stdout.split()
            expect(f"--{option}" in said, f"completion: {command} --{option} is missing: {said}")
    expect(shutil.which("mandoc"), "there is no mandoc: run ./dev setup test")
    lint = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", manual], capture_output=True, text=True, check=False)
    expect(lint.returncode == 0, lint.stdout)


def check_metrics(cluster):
    shown = ""
    for tier in (cluster.edges["us-e1"], cluster.replicas["us-r1"], cluster.globe):
        shown += tier.admin("/metrics")[1]
    known = set(re.findall(r"^# TYPE (\w+)", shown, re.M))
    expect(len(alert_files.metrics()) > 30, "too few metrics in the alerts: the check says nothing")
    missing = [name for name in alert_files.metrics() if name not in known]
    expect(not missing, f"alerts look at metrics that nobody shows: {missing}")
    values = cluster.globe.metrics()
    days = (values["tributary_global_certificate_expiry_timestamp_seconds"] - time.time()) / 86400
    expect(0 < days < 4000, f"the certificate lasts {days} days")
    expect(values["tributary_global_store_disk_free_bytes"] > 0, "no disk")
    edge = cluster.edges["us-e1"].metrics()
    expect(edge["tributary_edge_certificate_expiry_timestamp_seconds"] > time.time(), "the edge's certificate")
    expect(edge["tributary_edge_spool_disk_free_bytes"] > 0, "the edge's disk")


def check_answers(tool, ad, at, sent):
    table = tool.good("stats", ad, "--start", str(at), "--end", str(at + 120))
    row = [line.split() for line in table.splitlines() if line.startswith("20")][0]
    expect(row[:3] == [time.strftime("%Y-%m-%d", time.gmtime(at)), time.strftime("%H:%M:%S", time.gmtime(at)), str(sent)],
           f"stats: {table}")
    expect(f"{sent} clicks of {ad}, " in table, table)
    answer = json.loads(tool.good("stats", "--last", "2", "--json", "--", "--never"))
    expect(answer["ad_id"] == "--never" and len(answer["data"]) == 2, f"{answer}")
    answer = json.loads(tool.good("stats", ad, "--window", "5m", "--last", "3", "--json"))
    expect(answer["window"] == "5m" and len(answer["data"]) == 3, f"{answer}")
    top = tool.good("top", "--start", str(at), "--end", str(at + 60), "--limit", "1")
    expect(re.search(rf"^ +1 +{sent}  {re.escape(ad)}$", top, re.M), top)
    ads = tool.good("ads", "--prefix", ad[:8])
    expect(re.search(rf"{re.escape(ad)}$", ads, re.M), ads)
    expect("0 unexplained" in tool.good("balance"), "balance")
    expect(json.loads(tool.good("balance", "--json"))["unexplained"] == 0, "balance --json")
    expect(re.search(r"^us +20..-..-.. ..:..:.. +\d+ s$", tool.good("watermarks"), re.M), tool.good("watermarks"))


def check_refusals(tool, cluster, ad):
    now = int(time.time()) // 60 * 60
    said = tool.bad(NO, "stats", ad, "--start", str(now), "--end", str(now + 60), "--consistency", "complete")
    expect("409" in said, said)
    said = tool.bad(USAGE, "stats", ad, "--start", "7", "--end", "60")
    expect("start" in said, said)
    for words in (["stats"], ["stats", ad, "--start", "60"], ["stats", ad, "--window", "2m"], ["top", ad], ["top", "--last"],
                  ["top", "--last", "0"], ["ads", "--window", "1m"], ["balance", "--limit", "3"], ["nothing"], [],
                  ["watermarks", "--globe", "http://127.0.0.1:1"], ["watermarks", "--globe", "https://a@b"], ["edge"],
                  ["edge", "list"], ["config"], ["config", "check"], ["config", "check", "a", "b"]):
        tool.bad(USAGE, *words)
    tool.bad(USAGE, "watermarks", TRIBUTARY_GLOBE="")
    tool.bad(TEMPORARY, "watermarks", "--globe", "https://127.0.0.1:1")
    tool.bad(CONFIG, "watermarks", "--ca", cluster.key)
    tool.bad(CONFIG, "watermarks", "--token-file", os.path.join(cluster.folder, "nowhere"))
    open_file = write_private(os.path.join(cluster.folder, "open.token"), "x\n")
    os.chmod(open_file, 0o644)
    tool.bad(CONFIG, "watermarks", "--token-file", open_file)


def check_configs(tool, cluster):
    for tier in (cluster.edges["us-e1"], cluster.replicas["us-r1"], cluster.globe):
        expect(": ok" in tool.good("config", "check", tier.config), tier.name)
    tool.bad(CONFIG, "config", "check", cluster.globe.config, "--as", "edge")
    wrong = write_private(os.path.join(cluster.folder, "wrong.yaml"), "spool: 7\n")
    tool.bad(CONFIG, "config", "check", wrong)
    tool.bad(CONFIG, "config", "check", os.path.join(cluster.folder, "nowhere.yaml"))
    tool.bad(CONFIG, "config", "check", cluster.ca)


def check_tokens(tool, cluster, ad):
    """The globe again, with tokens: made by tributaryctl, sent from a file, refused with 77."""
    tokens, key = (os.path.join(cluster.folder, name) for name in ("globe.tokens", "globe.tokens.key"))
    make = lambda *more: tool.good("token", "create", "--tokens", tokens, "--key", key, *more)
    one = write_private(os.path.join(cluster.folder, "one.token"), make("--ads", f"{ad[:8]}*"))
    admin = write_private(os.path.join(cluster.folder, "admin.token"), make("--scope", "admin"))
    expect(len(tool.good("token", "list", "--tokens", tokens).splitlines()) == 3, "token list")
    cluster.globe.stop()
    cluster.globe.changes = {"auth": {"tokens_file": tokens, "key_file": key}}
    cluster.globe.start()
    tool.environment["TRIBUTARY_GLOBE"] = f"https://{cluster.globe.addresses['listen']}"
    said = tool.bad(NOT_ALLOWED, "ads")
    expect("401" in said, said)
    expect("403" in tool.bad(NOT_ALLOWED, "balance", "--token-file", one), "balance")
    expect("0 unexplained" in tool.good("balance", TRIBUTARY_TOKEN_FILE=admin), "balance")
    expect(ad in tool.good("ads", TRIBUTARY_TOKEN_FILE=one), "ads")
    secret = open(one, encoding="ascii").read().strip()
    tool.good("token", "revoke", "--tokens", tokens, secret.split("_")[1])
    wait_for("the revoked token to open nothing", lambda: tool.run("ads", "--token-file", one)[0] == NOT_ALLOWED, 10, 0.2)
    os.chmod(tokens, 0o644)
    stale = lambda: cluster.globe.metrics()["tributary_global_tokens_stale"]
    wait_for("the globe to say that its tokens are stale", lambda: stale() == 1, 10, 0.2)
    os.chmod(tokens, 0o600)
    wait_for("the globe to have read them", lambda: stale() == 0, 10, 0.2)


def test():
    ad = f"b21-{os.urandom(4).hex()}"
    with Cluster(topology={"us": {"edges": ["us-e1"], "replicas": ["us-r1"]}}, lateness_ms=2000) as c:
        c.start()
        tool = Tool(c)
        at = int(time.time()) // 60 * 60 - 60
        clicks = [click(ad, f"user-{i}", at) for i in range(42)] + [click(f"{ad}-other", "user", at)]
        answer = ask(c, c.edges["us-e1"], "/v1/clicks", "POST", json.dumps(clicks))
        expect(answer.status == 202, f"{answer.status} {answer.body}")
        check_pages(tool)
        check_configs(tool, c)
        step("help, man page and completion agree; configurations are checked")
        wait_count(c, ad, at, at + 60, 42)
        expect(answer.json["refused"] == 0, f"refused: {answer.json}")
        wait_for("the other ad's name", lambda: tool.good("ads", "--prefix", ad).count(ad) == 2, 20, 0.2)
        wait_for("a watermark", lambda: tool.run("watermarks")[0] == 0, 30, 0.2)
        check_metrics(c)
        step("every metric that an alert looks at is shown")
        check_answers(tool, ad, at, 42)
        check_refusals(tool, c, ad)
        step("answers and refusals are as they should be")
        check_tokens(tool, c, ad)


tell(test)
