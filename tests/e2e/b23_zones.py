# SPDX-License-Identifier: Apache-2.0
"""b23: windows of time zones begin where an independent calendar (Python's zoneinfo) says, over every change."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from e2e import Cluster, ask, expect, step, tell

ZONES = ("America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns", "America/Sao_Paulo",
         "America/Havana", "Pacific/Apia", "Asia/Kathmandu", "Europe/Lisbon", "Africa/Casablanca", "Etc/UTC")
# Around both changes of 2026 of the first and the third.
WEEKS = ((date(2026, 3, 6), 4), (date(2026, 4, 3), 4), (date(2026, 10, 2), 4), (date(2026, 10, 30), 4))


def day_start(zone, day):
    """The first of two midnights; where there is none, when the clocks have passed it."""
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())


def asked(cluster, zone, window, start, end):
    answer = ask(cluster, cluster.globe, f"/v1/stats?ad_id=x&window={window}&tz={zone}&start={start}&end={end}")
    expect(answer.status == 200, f"{zone}, {window}: {answer.status} {answer.body[:300]}")
    return [point["timestamp"] for point in answer.json["data"]]


def check_days(cluster, name, first, last):
    zone, days, day = ZoneInfo(name), [], first
    while day <= last:
        days.append(day_start(zone, day))
        day += timedelta(days=1)
    days = sorted(set(days))  # a date that was skipped is no window
    got = asked(cluster, name, "1d", days[0], days[-1])
    wrong = [(g, w) for g, w in zip(got, days) if g != w]
    expect(got == days[:-1], f"{name}: {len(got)} days, not {len(days) - 1}; first difference {wrong[:1]}")
    return len(got)


def check_hours(cluster, name, window, minutes):
    """By looking at the clock in every minute."""
    zone = ZoneInfo(name)
    for day, count in WEEKS:
        start, end, edges, before = day_start(zone, day), day_start(zone, day + timedelta(days=count)), [], None
        for at in range(start, end, 60):
            local = datetime.fromtimestamp(at, zone)
            now = (local.date(), (local.hour * 60 + local.minute) // minutes, local.utcoffset())
            if now != before:
                edges.append(at)
            before = now
        got = asked(cluster, name, window, start, end)
        expect(got == edges, f"{name}, {window} from {day}: {len(got)} windows, not {len(edges)}")


def check_refusals(cluster):
    for name in ("America/Nowhere", "America", "utc", "../../../etc/passwd", "posix/UTC", "right/UTC", "Zone.tab", "tzdata.zi"):
        answer = ask(cluster, cluster.globe, f"/v1/stats?ad_id=x&window=1d&tz={name}&start=0&end=86400")
        expect(answer.status == 400 and answer.json["detail"].startswith("tz: must be"), f"{name}: {answer.body}")
    midnight = int(datetime(2026, 3, 8, tzinfo=timezone.utc).timestamp())
    answer = ask(cluster, cluster.globe,
                 f"/v1/stats?ad_id=x&window=1d&tz=America/New_York&start={midnight}&end={midnight + 86400}")
    expect(answer.status == 400 and "start: must be where" in answer.json["detail"], answer.body)


def test():
    with Cluster(topology={"us": {"edges": ["us-e1"], "replicas": ["us-r1"]}}, lateness_ms=2000) as c:
        c.globe.changes = {"retention": {"minutes_days": 36500, "hours_days": 36500}}
        c.start()
        days = sum(check_days(c, name, date(2005, 1, 1), date(2032, 1, 1)) for name in ZONES)
        days += sum(check_days(c, name, date(2032, 1, 1), date(2056, 1, 1)) for name in ZONES)
        step(f"{days} days begin where they should")
        for name in ZONES:
            check_hours(c, name, "1h", 60)
        for name in ZONES[:3]:
            check_hours(c, name, "5m", 5)
        step("so do hours and five minutes")
        check_refusals(c)


tell(test)
