# SPDX-License-Identifier: Apache-2.0
"""alert_files: what infra/prometheus says: names of alerts, and of the metrics that they look at."""

import os
import re
import shutil

from process import Failure

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SOURCE = os.path.join(ROOT, "infra/prometheus")


def find_promtool():
    for path in (os.path.join(ROOT, ".deps/prometheus/usr/bin/promtool"), shutil.which("promtool")):
        if path and os.access(path, os.X_OK):
            return path
    raise Failure("there is no promtool: run ./dev setup test")


def _text(name):
    with open(os.path.join(SOURCE, name), encoding="utf-8") as file:
        return "".join(line for line in file if not line.lstrip().startswith("#"))


def alerts():
    return re.findall(r"- alert: (\w+)", _text("alerts.yml"))


def loud_in_tests():
    return re.findall(r"labels: '\{alertname=\"(\w+)\"\}', value: 1", _text("alerts_test.yml"))


def metrics():
    """Names in rules and in their annotations, as a program shows them."""
    found = set(re.findall(r"\btributary_(?:edge|regional|global)_\w+", _text("alerts.yml")))
    return sorted(re.sub(r"_bucket$", "", name) for name in found)
