# SPDX-License-Identifier: Apache-2.0
"""bench_attacks: what an honest client notices of an attacker beside it: p99 of the answers to its clicks (one a request,
durable before each answer) with and without, for each flood of e2e a01 and each slow client of a02, interleaved rounds,
ratio of medians. The edge has one core; the honest
client and, at the lowest priority and from another address, the attacker share the other.

usage: bench_attacks.py [--check] [--rounds N] [--seconds S] [--only NAME]
--check: exit 1 where the ratio is above 2.
"""

import os
import sys

sys.dont_write_bytecode = True
_here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(_here, "..", "harness"), os.path.join(_here, "..", "e2e")]

# pylint: disable=wrong-import-position
import argparse
import statistics
import subprocess
import threading
import time

import a01_floods
import a02_slow
import raw_h2 as h2
from e2e import Cluster, Failure, expect

BAR = 2.0
ATTACKER = "127.0.0.2"
SLOW_AT_ONCE = 64
FLOODS = {name: make for name, make, _ in a01_floods.FLOODS}
SLOW = {attack.__name__: attack for attack in a02_slow.ATTACKS}
TROUBLE = (OSError, ValueError)


def flood_once(address, ca, make, end):
    raw = h2.Raw(address, ca, source=ATTACKER)
    sent = 0
    while sent < a01_floods.FRAMES_MAX and raw.goaway is None and time.monotonic() < end and raw.send(make(sent)):
        sent += 1
        raw.read(0.0005)
    raw.close()
    return sent


def attack(address, ca, name, seconds):
    """As a program of its own: the same attack again and again; prints how many frames or connections it was."""
    os.nice(19)
    end, total = time.monotonic() + seconds, [0]

    def again():
        while time.monotonic() < end:
            try:
                if name in FLOODS:
                    total[0] += flood_once(address, ca, FLOODS[name], end)
                else:
                    SLOW[name](address, ca, end)
                    total[0] += 1
            except TROUBLE:
                time.sleep(0.002)  # sent away at the door: a pace, not a wait

    threads = [threading.Thread(target=again) for _ in range(1 if name in FLOODS else SLOW_AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(total[0])


def honest_p99(address, ca, seconds, beside=None):
    """p99 in ms of an honest client that asks for `seconds`; `beside` names the attack that runs meanwhile."""
    child = None
    if beside:
        child = subprocess.Popen([sys.executable, __file__, "attack", beside, address, ca, str(seconds + 1)],
                                 stdout=subprocess.PIPE, text=True)
        time.sleep(0.4)  # the attack has begun: not a test's synchronisation, the figure is a ratio
    done = subprocess.run([sys.executable, h2.__file__, address, ca, str(seconds), "click"], capture_output=True, text=True,
                          check=False)
    said = child.communicate(timeout=60)[0] if child else "0"
    expect(done.returncode == 0, f"the honest client broke: {done.stderr[-300:]}")
    count, failed, _, p99 = done.stdout.split()
    expect(int(failed) == 0, f"{failed} of {count} honest requests failed beside {beside}")
    expect(not beside or int(said) > 0, f"{beside}: the attack did nothing")
    return float(p99)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--only", choices=[*FLOODS, *SLOW])
    options = parser.parse_args()
    with Cluster(topology=a01_floods.ONE) as c:
        c.start()
        edge = c.edges["us-e1"]
        address = edge.addresses["listen"]
        subprocess.run(["taskset", "-a", "-p", "-c", "0", str(edge.pid)], check=True, stdout=subprocess.DEVNULL)
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        missed = []
        print("| attack | p99 alone ms | beside ms | ratio |\n| --- | --- | --- | --- |", flush=True)
        for name in [options.only] if options.only else [*FLOODS, *SLOW]:
            alone, beside = [], []
            for _ in range(options.rounds):
                alone.append(honest_p99(address, c.ca, options.seconds))
                beside.append(honest_p99(address, c.ca, options.seconds, name))
            ratio = statistics.median(beside) / statistics.median(alone)
            print(f"| {name} | {statistics.median(alone):.2f} | {statistics.median(beside):.2f} | {ratio:.2f} |",
                  flush=True)
            if ratio > BAR:
                missed.append(name)
        expect(edge.alive(), "the edge has ended")
    for name in missed:
        print(f"MISSED {name}: above {BAR}")
    return 1 if options.check and missed else 0


if sys.argv[1:2] == ["attack"]:
    attack(sys.argv[3], sys.argv[4], sys.argv[2], float(sys.argv[5]))
else:
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"bench_attacks: {failure}", file=sys.stderr)
        sys.exit(2)
