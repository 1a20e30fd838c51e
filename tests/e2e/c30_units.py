# SPDX-License-Identifier: Apache-2.0
"""c30: the systemd units: well formed, hardened, and wide enough: what the programs really do, seen by strace, is what
the units let them do. Their example configurations are good, with credentials as systemd hands them over."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import re
import shutil
import signal
import socket
import subprocess
import tempfile

from e2e import Cluster, ROOT, expect, expect_exact, growth, step, stop_load, tell, wait_for

UNITS = os.path.join(ROOT, "infra/systemd")
SERVICES = {"tributary-edge": "tributary-edge.service", "tributary-regional": "tributary-regional@.service",
            "tributary-archiver": "tributary-archiver@.service", "tributary-global": "tributary-global.service"}
EXPOSURE_MAX = 2.0
ONE = {"us": {"edges": ["us-e1"], "replicas": ["us-r1"], "archivers": ["us-a1"]}}
# What AddressSanitizer does and the product does not; personality(2) undoes random addresses.
SANITIZER_CALLS = {"personality", "ptrace", "process_vm_readv"}


def run(*command, **more):
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def hardening(unit):
    text = read(os.path.join(UNITS, unit))
    return text[text.index("# What the program may do"):text.index("[Install]")]


def exposure(path):
    done = run("systemd-analyze", "security", "--offline=true", "--no-pager", path)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    expect(found, f"systemd-analyze security: {done.stdout[-300:]} {done.stderr[-300:]}")
    return float(found.group(1))


def files_are_good(folder, programs):
    for program, unit in SERVICES.items():
        text = read(os.path.join(UNITS, unit)).replace(f"/usr/bin/{program}", os.path.join(programs, program))
        with open(os.path.join(folder, unit), "w", encoding="utf-8") as file:
            file.write(text)
    shutil.copy(os.path.join(UNITS, "tributary-edge.socket"), folder)
    names = [os.path.join(folder, name) for name in
             ("tributary-edge.socket", "tributary-edge.service", "tributary-regional@us-r1.service",
              "tributary-archiver@us-a1.service", "tributary-global.service")]
    done = run("systemd-analyze", "verify", "--man=no", *names)
    expect(done.returncode == 0 and "tributary" not in done.stderr, f"verify: {done.stderr}")
    expect(len({hardening(unit) for unit in SERVICES.values()}) == 1, "the hardening of the units differs")
    levels = {program: exposure(os.path.join(UNITS, unit)) for program, unit in SERVICES.items()}
    bare = os.path.join(folder, "bare.service")
    with open(bare, "w", encoding="utf-8") as file:
        file.write(read(os.path.join(UNITS, "tributary-edge.service")).replace(hardening("tributary-edge.service"), ""))
    expect(exposure(bare) > 5, "the measure of exposure does not see what is missing")
    step(f"exposure {levels}, without the hardening {exposure(bare)}")
    for program, level in levels.items():
        expect(level <= EXPOSURE_MAX, f"{program}: exposure {level} is over {EXPOSURE_MAX}")


def examples_are_good(cluster):
    """--check-config of each example, in a tree of its own, with credentials that stat(2) shows as 0440."""
    root = os.path.join(cluster.folder, "machine")
    for program, name, unit in (("tributary-edge", "edge", "tributary-edge"),
                                ("tributary-regional", "regional-us-r1", "tributary-regional@us-r1"),
                                ("tributary-archiver", "archiver-us-a1", "tributary-archiver@us-a1"),
                                ("tributary-global", "global", "tributary-global")):
        text = read(os.path.join(UNITS, "examples", f"{name}.yaml"))
        expect(f"/var/lib/{program}/" in text, f"{name}.yaml: its store is not in the unit's StateDirectory")
        text = re.sub(r"(/run/credentials|/etc/tributary|/var/(lib|log))/", lambda m: f"{root}{m.group(0)}", text)
        for path in re.findall(re.escape(root) + r"[^\s,\]]+", text):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if "/credentials/" in path:
                expect(os.path.dirname(path).endswith(f"{unit}.service"), f"{path}: not a credential of {unit}")
                with open(path, "w", encoding="ascii") as file:
                    file.write("0123456789abcdef0123456789abcdef\n")
                os.chmod(path, 0o440)
            elif path.endswith((".pem", ".key", ".keys", "tokens")) and not os.path.exists(path):
                source = {"server.pem": cluster.certificate, "server.key": cluster.key}.get(os.path.basename(path))
                with open(path, "wb") as file:
                    file.write(open(source, "rb").read() if source else os.urandom(80) if "ticket" in path else b"")
                os.chmod(path, 0o600)
        config = os.path.join(root, f"{name}.yaml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(text)
        environment = {**os.environ, "CREDENTIALS_DIRECTORY": f"{root}/run/credentials/{unit}.service"}
        command = (os.path.join(cluster.bin, program), "--config", config, "--check-config")
        done = run(*command, env=environment)
        expect(done.returncode == 0, f"{name}.yaml: {done.stdout} {done.stderr}")
        if program == "tributary-edge":  # the other two read their secrets when they start
            done = run(*command, env={**os.environ, "CREDENTIALS_DIRECTORY": root})
            expect(done.returncode == 78 and "group or others" in done.stderr,
                   f"a secret that the group may read, and no credential: {done.returncode} {done.stderr}")
    step("the example configurations are good")


def allowed_calls(unit):
    """The unit's SystemCallFilter, spelled out."""
    sets, name = {}, None
    for line in run("systemd-analyze", "syscall-filter", "--no-pager").stdout.splitlines():
        if line.startswith("@"):
            name = line.strip()
            sets[name] = set()
        elif name and line.strip() and not line.strip().startswith("#"):
            sets[name].add(line.strip())

    def spelled(word):
        if not word.startswith("@"):
            return {word}
        expect(word in sets, f"{unit}: there is no {word}")
        return set().union(*(spelled(inner) for inner in sets[word]))

    allowed = set()
    for value in re.findall(r"^SystemCallFilter=(.*)$", read(os.path.join(UNITS, unit)), re.M):
        for word in value.lstrip("~").split():
            allowed = allowed - spelled(word) if value.startswith("~") else allowed | spelled(word)
    return allowed


def judge(program, trace, folder):
    unit = SERVICES[program]
    text = read(os.path.join(UNITS, unit))
    calls, families, writes, others = {}, set(), set(), set()
    for line in open(trace, encoding="utf-8", errors="replace"):
        found = re.match(r"\d+ +(\w+)\((.*)", line)
        if not found:
            continue
        call, rest = found.groups()
        calls[call] = calls.get(call, 0) + 1
        if call == "socket":
            families.add(rest.split(",")[0])
        path = re.search(r'"(/[^"]*)"', rest)
        changes = call in ("mkdir", "mkdirat", "rename", "renameat", "renameat2", "unlink", "unlinkat", "chmod", "truncate",
                           "link", "symlink") or (call in ("open", "openat") and re.search(r"O_(WRONLY|RDWR|CREAT)", rest))
        if path and changes and "EEXIST" not in rest:
            writes.add(path.group(1))
        elif path and call in ("open", "openat") and re.match(r"/proc/(?!self|\d)", path.group(1)):
            others.add(path.group(1))
        expect(not (call == "mmap" and "PROT_EXEC" in rest and "PROT_WRITE" in rest) and
               not (call == "mprotect" and "PROT_EXEC" in rest), f"{program}: memory to write and run: {line}")
    sanitized = "/asan" in os.environ.get("TRIBUTARY_BIN", "")
    refused = set(calls) - allowed_calls(unit) - (SANITIZER_CALLS if sanitized else set())
    step(f"{program}: {len(calls)} kinds of system calls, sockets {sorted(families)}, other files of /proc {sorted(others)}")
    expect(calls.get("openat", 0) > 5 and len(calls) > 25 and families, f"{program}: strace saw next to nothing: {calls}")
    expect(not refused, f"{program}: the unit's filter refuses {sorted(refused)}")
    granted = set(re.search(r"^RestrictAddressFamilies=(.*)$", text, re.M).group(1).split())
    expect(families - {"AF_NETLINK"} <= granted, f"{program}: the unit refuses sockets of {families - granted}")
    outside = {path for path in writes if not path.startswith((folder + "/", "/dev/null"))}
    expect(not outside, f"{program}: writes to {outside}, which ProtectSystem=strict refuses")


def told(manager):
    words = []
    try:
        while True:
            words.append(manager.recv(4096).decode().split("\n")[0])
    except BlockingIOError:
        return words


def test():
    if not shutil.which("systemd-analyze") or not shutil.which("strace"):
        print("needs systemd-analyze and strace")
        sys.exit(77)
    with tempfile.TemporaryDirectory(prefix="tributary-units-") as folder:
        files_are_good(folder, os.path.abspath(Cluster(topology=ONE).bin))
    with Cluster(topology=ONE) as c:
        tiers = {"tributary-edge": c.edges["us-e1"], "tributary-regional": c.replicas["us-r1"],
                 "tributary-archiver": c.archivers["us-a1"], "tributary-global": c.globe}
        managers, traces = {}, {}
        for program, tier in tiers.items():
            managers[program] = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            managers[program].bind(os.path.join(c.folder, f"{program}.notify"))
            managers[program].setblocking(False)
            traces[program] = os.path.join(c.folder, f"{program}.strace")
            # -D: the program stays our child. A leak check cannot run under strace.
            tier.wrap = ["strace", "-D", "-f", "-qq", "-s", "0", "-o", traces[program]]
            tier.environment = {"NOTIFY_SOCKET": os.path.join(c.folder, f"{program}.notify"),
                                "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
        c.start()
        examples_are_good(c)
        load = c.send(rate=300, seconds=60, ads=50, connections=2)
        growth(c, 60000)
        for program in ("tributary-edge", "tributary-global"):
            os.kill(tiers[program].pid, signal.SIGHUP)
        wait_for("the reload", lambda: c.edges["us-e1"].metrics()["tributary_edge_reloads_total"] > 0)
        growth(c, 20000)
        stop_load(c, load)
        expect_exact(c)
        for program, tier in tiers.items():
            code = tier.stop()
            expect(code == 0, f"{program}: exit code {code}")
            words = told(managers[program])
            expect(words[0] == "READY=1" and words[-1] == "STOPPING=1", f"{program} told its manager {words}")
            managers[program].close()
        for program, trace in traces.items():
            judge(program, trace, c.folder)


tell(test)
