# SPDX-License-Identifier: Apache-2.0
"""process: starts, kills and restarts one program; nothing it started outlives the script."""

import ctypes
import os
import re
import signal
import subprocess
import time

PR_SET_PDEATHSIG = 1
EXIT_TEMPORARY = 75  # cannot bind or open now
# Programs that keep their memory to themselves cannot be looked at in /proc, but by root.
_VISIBLE = {} if os.geteuid() == 0 else {"TRIBUTARY_CORE_DUMPS": "1"}
_libc = ctypes.CDLL(None, use_errno=True)


class Failure(Exception):
    """Something that a person should read as a sentence, not as a trace."""


def wait_for(what, condition, seconds=20.0, pause=0.02):
    """Waits until condition() is truthy and returns that; Failure after the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise Failure(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(pause)


def _die_with_parent():
    # The kernel ends the child when the script dies, however it dies.
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the script, which then ends its children


def sockets_of(pid):
    """Inodes of the sockets that a process holds."""
    inodes = set()
    folder = f"/proc/{pid}/fd"
    for name in os.listdir(folder):
        try:
            link = os.readlink(f"{folder}/{name}")
        except OSError:
            continue
        match = re.fullmatch(r"socket:\[(\d+)\]", link)
        if match:
            inodes.add(match.group(1))
    return inodes


def listens(pid, port):
    """Is the listener on this loopback port held by this process?"""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = open(table, encoding="ascii").read().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
                inodes.add(fields[9])
    return bool(inodes & sockets_of(pid))


class Process:
    """One program with a log file. Subclasses say how it is configured and when it is ready."""

    def __init__(self, name, folder):
        self.name = name
        self.folder = folder
        self.log = os.path.join(folder, f"{name}.log")
        self.child = None
        self.wanted = False  # it should be running now
        self.wrap = []       # a command that runs ours, under the same pid
        self.environment = {}
        self.pass_files = []  # descriptors that it inherits

    def command(self):
        raise NotImplementedError

    def prepare(self):
        """Before each start."""

    def is_ready(self):
        return True

    @property
    def pid(self):
        return self.child.pid if self.child else None

    def alive(self):
        return self.child is not None and self.child.poll() is None

    def spawn(self):
        assert not self.alive(), f"{self.name} runs already"
        self.prepare()
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen([*self.wrap, *self.command()], stdin=subprocess.DEVNULL, stdout=log,
                                          stderr=subprocess.STDOUT, preexec_fn=_die_with_parent, pass_fds=self.pass_files,
                                          env={**os.environ, **_VISIBLE, **self.environment})
        self.wanted = True

    def start(self, seconds=30.0):
        """Starts and waits until it is ready. A port that something else took for a moment is waited for."""
        deadline = time.monotonic() + seconds
        while True:
            self.spawn()
            wait_for(f"{self.name} to start (see {self.log})",
                     lambda: not self.alive() or self.is_ready(), deadline - time.monotonic())
            if self.alive():
                return self
            if self.child.returncode != EXIT_TEMPORARY or time.monotonic() > deadline:
                raise Failure(f"{self.name} ended with {self.child.returncode}: {self.last_words()}")
            time.sleep(0.1)

    def kill(self):
        """kill -9."""
        self.wanted = False
        if self.child is None:
            return
        if self.alive():
            os.kill(self.child.pid, signal.SIGKILL)
        self.child.wait()

    def stop(self, seconds=20.0):
        """SIGTERM; Failure unless it ends by itself. Returns the exit code."""
        self.wanted = False
        if self.alive():
            os.kill(self.child.pid, signal.SIGTERM)
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} did not end within {seconds:.0f} s of SIGTERM") from None

    def complaint(self):
        """What must never be found: an end that nobody asked for, or a sanitizer's report; else None."""
        if self.wanted and not self.alive():
            return f"{self.name} ended by itself with {self.child.returncode}: {self.last_words()}"
        try:
            with open(self.log, encoding="utf-8", errors="replace") as log:
                found = re.search(r"^.*(ERROR: \w+Sanitizer|runtime error:|CHECK failed|check failed).*$", log.read(), re.M)
        except OSError:
            return None
        return f"{self.name} said: {found.group(0)[:300]} (see {self.log})" if found else None

    def last_words(self, lines=5):
        try:
            with open(self.log, encoding="utf-8", errors="replace") as log:
                return " | ".join(log.read().splitlines()[-lines:])
        except OSError:
            return "(no log)"


def finish(child):
    """Ends a child at once; used where the script itself ends."""
    if child is not None and child.poll() is None:
        try:
            os.kill(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        child.wait()
