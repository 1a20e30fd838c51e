# SPDX-License-Identifier: Apache-2.0
"""d21: two globes, one of them killed now and then and begun late, give the same bytes once a range is complete: the same
entity tags, the same points, whatever the form. The certificate of one changes on SIGHUP meanwhile, and no query fails."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import signal
import subprocess
import time

from e2e import Cluster, ROOT, ask, expect, expect_exact, growth, step, stop_load, tell, wait_for
from raw_h2 import Raw
from tiers import Global

ADS = 24


def certificate_of(globe, ca):
    raw = Raw(globe.addresses["listen"], ca)
    seen = raw.tls.getpeercert(binary_form=True)
    raw.close()
    return seen


def reload(globe, which="reloads"):
    name = f"tributary_global_{which}_total"
    before = globe.metrics()[name]
    os.kill(globe.pid, signal.SIGHUP)
    wait_for("the reload", lambda: globe.metrics()[name] > before, 10, 0.01)


def copy(source, target):
    with open(source, "rb") as file:
        data = file.read()
    with open(os.open(target + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    os.rename(target + ".new", target)


def new_certificate(c, globe):
    """Another certificate of the same authority, then half of one: the first is taken, the second refused."""
    before = certificate_of(globe, c.ca)
    old = (c.certificate + ".old", c.key + ".old")
    copy(c.certificate, old[0])
    copy(c.key, old[1])
    subprocess.run([os.path.join(ROOT, "infra/certs/make_certs.sh"), c.certs, "server"], check=True, capture_output=True)
    reload(globe)
    after = certificate_of(globe, c.ca)
    expect(after != before, "the certificate is still the old one")
    copy(old[0], c.certificate)  # not of this key
    reload(globe, "reload_failures")
    expect(certificate_of(globe, c.ca) == after, "a wrong pair was taken")
    copy(old[1], c.key)
    reload(globe)
    expect(certificate_of(globe, c.ca) == before, "the old pair was not taken again")
    step("the certificate changed on SIGHUP, and a wrong one changed nothing")


def body_of(answer):
    """What was counted: without as_of, watermarks and missing edges, which move all the time."""
    return answer.body.split('"as_of"')[0]


def compare(c, globes, start, end):
    paths = [f"/v1/stats?ad_id=ad-{ad:06}&window={window}&start={start}&end={end}"
             for ad in range(ADS) for window in ("1m", "5m") if (end - start) % 300 == 0 or window == "1m"]
    paths += [f"/v1/top?start={start}&end={end}&limit=1000", "/v1/ads?limit=1000"]
    same = 0
    for path in paths:
        for accept in ("application/json",) if path.startswith("/v1/ads") else ("application/json", "text/csv"):
            one, other = (ask(c, globe, path, headers=[f"accept: {accept}"]) for globe in globes)
            expect(one.status == other.status == 200, f"{path}: {one.status} and {other.status}: {one.body[:200]}")
            expect(body_of(one) == body_of(other), f"{path}:\n{body_of(one)}\n{body_of(other)}")
            expect(one.headers.get("etag") == other.headers.get("etag") is not None, f"{path}: the tags differ")
            same += 1
    return same


def is_complete(c, globe, start, end):
    for ad in range(ADS):
        answer = ask(c, globe, f"/v1/stats?ad_id=ad-{ad:06}&window=1m&start={start}&end={end}&consistency=complete")
        if answer.status != 200:
            return False
    return True


def test():
    with Cluster(lateness_ms=1000) as c:
        c.start()
        other = Global("global-2", c)
        try:
            load = c.send(rate=2000, seconds=120, ads=ADS, connections=2, drain_seconds=60)
            growth(c, 40000)
            # Clicks are up to five minutes old, so this minute is closed and still counts.
            end = int(time.time()) // 60 * 60
            start = end - 60
            other.start()
            for _ in range(4):
                growth(c, 30000)
                other.kill()
                other.start()
            new_certificate(c, c.globe)
            stop_load(c, load)
            expect_exact(c)
            for globe in (c.globe, other):
                wait_for(f"{globe.name} to have all minutes complete", lambda g=globe: is_complete(c, g, start, end), 90, 0.5)
            same = compare(c, (c.globe, other), start, end)
            step(f"{same} answers of the two are the same to the byte")
            balance(c, (c.globe, other))
        finally:
            other.kill()


def balance(c, globes):
    """What the globe holds of each partition is what its region counted, and unexplained is nothing."""
    for globe in globes:
        told = ask(c, globe, "/v1/balance").json
        expect(told["unexplained"] == 0, f"unexplained: {told}")
        for line in told["lines"]:
            expect(line["merged"] == line["counted"], f"{globe.name} holds {line['merged']} of {line}")
        step(f"{globe.name}: {told['totals']['merged']} clicks merged, as many as the regions counted")
        expect(told["totals"]["merged"] == told["totals"]["counted"] > 0, f"{told['totals']}")


tell(test)
