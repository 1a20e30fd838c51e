# SPDX-License-Identifier: Apache-2.0
"""c03: planted secrets: keys, passwords and tokens of a whole system, looked for in all that it shows: logs at level debug,
metrics, answers, command lines, environments, core files, stores. Where they must be (files for their owner, and a core
file that was asked for) they are found, so that the search is shown to find."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import glob
import re
import secrets
import signal
import subprocess
import time

from e2e import Cluster, ask, click, expect, step, tell
from process import sockets_of
from tiers import write_private

ONE = {"us": {"edges": ["us-e1"], "replicas": ["us-r1"], "archivers": ["us-a1"]}}
DUMPS = "ulimit -c unlimited; cd \"$1\"; shift; exec \"$@\""
CORE_PATTERN = "/proc/sys/kernel/core_pattern"


class Secrets:
    """name -> the forms in which a secret may be seen."""

    def __init__(self):
        self.forms = {}

    def add(self, name, *forms):
        self.forms[name] = [form.encode() if isinstance(form, str) else form for form in forms]
        for form in self.forms[name]:
            expect(len(form) >= 15, f"{name}: too short to be looked for")

    def found_in(self, data):
        return sorted(name for name, forms in self.forms.items() if any(form in data for form in forms))

    def must_not_be_in(self, where, data):
        found = self.found_in(data.encode() if isinstance(data, str) else data)
        expect(not found, f"{where} shows {', '.join(found)}")

    def must_not_be_in_file(self, path):
        with open(path, "rb") as file:
            self.must_not_be_in(path, file.read())


def everyone(cluster):
    return [cluster.edges["us-e1"], cluster.replicas["us-r1"], cluster.archivers["us-a1"], cluster.globe]


def key_forms(path):
    """A private key of TLS: lines of its PEM, and its number in both orders of bytes."""
    text = subprocess.run(["openssl", "ec", "-in", path, "-noout", "-text"], capture_output=True, text=True,
                          check=True).stdout
    digits = re.search(r"priv:\s*([0-9a-f:\s]+?)pub:", text, re.S).group(1)
    number = bytes.fromhex(re.sub(r"[^0-9a-f]", "", digits))[-32:]
    body = [line for line in open(path, encoding="ascii").read().splitlines() if not line.startswith("-")]
    return [*[line for line in body if len(line) > 20], number, number[::-1]]


def plant(cluster):
    """Everything that is secret here, and its use."""
    s = Secrets()
    dedupe = open(cluster.dedupe_key, encoding="ascii").read().strip()
    s.add("dedupe key", dedupe, bytes.fromhex(dedupe))
    for user, path in cluster.nats["us"].users.items():
        s.add(f"NATS password of {user}", open(path, encoding="ascii").read().strip())
    tickets = os.urandom(160)
    s.add("ticket keys", tickets[16:48], tickets[48:80], tickets[96:128], tickets[128:160])
    ticket_file = os.path.join(cluster.folder, "ticket.keys")
    with open(os.open(ticket_file, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
        file.write(tickets)
    cluster.edges["us-e1"].changes = {"tls": {"certificate_file": cluster.certificate, "key_file": cluster.key,
                                              "ticket_keys_file": ticket_file}}
    tokens, key = (os.path.join(cluster.folder, name) for name in ("tokens", "tokens.key"))
    key_text = secrets.token_hex(32)
    write_private(key, key_text + "\n")
    s.add("key of tokens", key_text)
    made = subprocess.run([os.path.join(cluster.bin, "tributary-global"), "token", "create", "--tokens", tokens, "--key",
                           key, "--ads", "*", "--days", "9"], capture_output=True, text=True, check=True)
    token = re.search(r"trb_[0-9a-zA-Z]+_[0-9a-zA-Z_-]+", made.stdout).group(0)
    s.add("bearer token", token, token.split("_", 2)[2])
    nowhere = {"endpoint": "https://127.0.0.1:1", "region": "nowhere", "bucket": "acme"}
    for name in ("secret_key", "session_token"):
        text = secrets.token_hex(20)
        s.add(f"S3 {name}", text)
        nowhere[f"{name}_file"] = write_private(os.path.join(cluster.folder, f"s3.{name}"), text + "\n")
    nowhere["access_key_file"] = write_private(os.path.join(cluster.folder, "s3.access"), "AKIANOTSECRET\n")
    cluster.archivers["us-a1"].archive = {"s3": nowhere, "object_age_ms": 1000}
    s.must_not_be_in("the file of tokens", open(tokens, "rb").read())
    cluster.globe.changes = {"auth": {"tokens_file": tokens, "key_file": key,
                                      "read_log": os.path.join(cluster.folder, "reads.log")}}
    return s, token


def use(cluster, s, token):
    """Good and bad requests with secrets where a client may put them, rightly and wrongly."""
    edge, now = cluster.edges["us-e1"], int(time.time())
    bearer = f"authorization: Bearer {token}"
    answers = [ask(cluster, edge, "/v1/clicks", body=str([click("a", "u", now)]).replace("'", '"'), headers=[bearer])]
    expect(answers[0].status == 202, answers[0].body)
    for path, body, headers in [
            (f"/v1/clicks?access_token={token}", "[]", [bearer]), (f"/{token}", None, [f"cookie: {token}"]),
            ("/v1/clicks", f'{{"{token}": 1}}', [bearer]), ("/v1/clicks", f'{{"ad_id": "{token}"', [f"prefer: {token}"]),
            ("/v1/clicks", "x", [f"content-encoding: {token}"]), ("/v1/clicks", "x", [f"content-type: {token}"])]:
        answers.append(ask(cluster, edge, path, body=body, headers=headers))
        expect(answers[-1].status >= 400, f"{path}: {answers[-1].status}")
    # A click's own fields may be anything, a secret too: they are the client's and go on; so none is sent here.
    minute = now // 60 * 60
    query = f"/v1/stats?ad_id=a&window=1m&start={minute}&end={minute + 60}&consistency=eventual"
    for path, headers, status in [
            (query, [bearer], 200), (f"{query}&token={token}", [bearer], 400), (f"/v1/{token}", [bearer], 404),
            (query, [bearer + "0"], 401), (query, [f"authorization: Basic {token}"], 401),
            (f"{query}&access_token={token}", [], 401), (query.replace("1m", token), [bearer], 400),
            (query.replace("eventual", "complete"), [bearer], 409)]:
        answers.append(ask(cluster, cluster.globe, path, headers=headers))
        expect(answers[-1].status == status, f"{path[:40]}: {answers[-1].status}, not {status}: {answers[-1].body}")
    for answer in answers:
        s.must_not_be_in("an answer", f"{answer.headers} {answer.body}")
    tool = os.path.join(cluster.bin, "tributaryctl")
    token_file = write_private(os.path.join(cluster.folder, "token"), token + "\n")
    wrong = write_private(os.path.join(cluster.folder, "wrong"), token + "0\n")
    for file, code in ((token_file, 0), (wrong, 77)):
        done = subprocess.run([tool, "stats", "a", "--last", "2"], capture_output=True, text=True, check=False, env={
            **os.environ, "TRIBUTARY_CA": cluster.ca, "TRIBUTARY_TOKEN_FILE": file,
            "TRIBUTARY_GLOBE": f"https://{cluster.globe.addresses['listen']}"})
        expect(done.returncode == code, f"tributaryctl: {done.returncode} {done.stderr}")
        s.must_not_be_in("tributaryctl", done.stdout + done.stderr)


def look_around(cluster, s):
    """What everybody on the machine, and everybody who collects logs and metrics, can see."""
    for tier in everyone(cluster):
        for path in ("/metrics", "/readyz", "/livez", "/nothing"):
            status, text = tier.admin(path)
            expect(status > 0, f"{tier.name}{path}: {text}")
            s.must_not_be_in(f"{tier.name}{path}", text)
        for name in ("cmdline", "environ"):
            s.must_not_be_in_file(f"/proc/{tier.pid}/{name}")
        expect(sockets_of(tier.pid), "the process cannot be looked at: the check says nothing")
    step("nothing in answers, metrics, command lines, environments")


def bad_configurations(cluster, s):
    """A person puts the secret into the wrong place, or damages its file: the complaint does not repeat it."""
    canary = "canary" + secrets.token_hex(20)
    s.add("a secret in the wrong place", canary)
    edge = cluster.edges["us-e1"]
    good = open(edge.config, encoding="utf-8").read()
    bad_key = write_private(os.path.join(cluster.folder, "bad.key"), canary)
    for name, text in [("a password beside its file", good.replace("password_file:", f"password: \"{canary}\"\n    password_file:", 1)),
                       ("a damaged key", good.replace(cluster.dedupe_key, bad_key)),
                       ("a key as a path", good.replace(cluster.dedupe_key, f"\"{canary}\" {canary}"))]:
        expect(text != good, f"{name}: nothing was changed")
        path = write_private(os.path.join(cluster.folder, "bad.yaml"), text)
        done = subprocess.run([edge.binary, "--config", path, "--check-config"], capture_output=True, text=True, check=False)
        expect(done.returncode == 78 and done.stderr, f"{name}: {done.returncode} {done.stderr}")
        s.must_not_be_in(f"the complaint about {name}", done.stdout + done.stderr)
        os.unlink(path)
    os.unlink(bad_key)


def dump(tier, folder):
    """Ends it as a crash would; the core files that are left."""
    tier.wanted = False
    os.kill(tier.pid, signal.SIGABRT)
    code = tier.child.wait(60)
    expect(code == -signal.SIGABRT, f"{tier.name} ended with {code}")
    return glob.glob(os.path.join(folder, "core*"))


def core_files(cluster, s):
    pattern = open(CORE_PATTERN, encoding="ascii").read().strip()
    if pattern.startswith(("|", "/")):
        step(f"NOT SHOWN: core files go to {pattern} here")
        return
    for tier, secret in ((cluster.edges["us-e1"], "TLS key"), (cluster.replicas["us-r1"], "NATS password of regional"),
                         (cluster.archivers["us-a1"], "S3 secret_key"),
                         (cluster.globe, "TLS key")):
        folder = tier.wrap[-1]
        left = dump(tier, folder)
        expect(not left, f"{tier.name} left a core file although nobody asked for one: {left}")
        # The control: asked for, the core file is there and holds what was looked for everywhere.
        tier.environment = {"TRIBUTARY_CORE_DUMPS": "1", "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") +
                            ":disable_coredump=0:use_madv_dontdump=1"}
        tier.start()
        left = dump(tier, folder)
        expect(len(left) == 1, f"{tier.name} was asked for a core file and left {left}")
        with open(left[0], "rb") as file:
            found = s.found_in(file.read())
        expect(secret in found, f"{tier.name}: the core file does not hold the {secret}, only {found}: the search finds nothing")
        step(f"{tier.name}: no core file; one that was asked for holds {len(found)} secrets")
        for path in left:
            os.unlink(path)


def test():
    if os.geteuid() != 0:
        print("needs root: the kernel shows nobody else a process that keeps its memory to itself")
        sys.exit(77)
    with Cluster(topology=ONE, log_level="debug") as c:
        s, token = plant(c)
        for tier in everyone(c):  # as an operator who wants core files
            folder = os.path.join(c.folder, f"{tier.name}.cores")
            os.makedirs(folder)
            tier.wrap = ["sh", "-c", DUMPS, "sh", folder]
        c.start()
        s.add("TLS key", *key_forms(c.key))  # it was made by this start
        use(c, s, token)
        look_around(c, s)
        bad_configurations(c, s)
        core_files(c, s)
        kept = {os.path.basename(path) for path in c.nats["us"].users.values()}
        kept |= {"ticket.keys", "tokens.key", "token", "wrong", "s3.secret_key", "s3.session_token", "dedupe.key", "server.key", "nats-us.conf"}
        looked = 0
        for folder, _, names in os.walk(c.folder):
            for name in names:
                if name not in kept:
                    s.must_not_be_in_file(os.path.join(folder, name))
                    looked += 1
        expect(looked > 10 and all(os.path.getsize(t.log) > 500 for t in everyone(c)),
               "there is next to nothing to look at")
        step(f"nothing in {looked} files: logs, configurations, stores")


tell(test)
