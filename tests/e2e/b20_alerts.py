# SPDX-License-Identifier: Apache-2.0
"""b20: the alerts of infra/prometheus are rules that Prometheus takes; each keeps quiet until it must not."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
import shutil
import subprocess
import tempfile

from alert_files import SOURCE, alerts, find_promtool, loud_in_tests
from e2e import expect, step, tell


def promtool(*arguments, folder=SOURCE):
    done = subprocess.run([find_promtool(), *arguments], cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stdout + done.stderr


def test():
    taken, told = promtool("check", "config", "prometheus.yml")
    expect(taken, told)
    taken, told = promtool("test", "rules", "alerts_test.yml")
    expect(taken, told)
    names = alerts()
    step(f"{len(names)} alerts are taken, and come when they should")
    expect(len(names) > 20 and len(names) == len(set(names)), f"names: {names}")
    silent = sorted(set(names) - set(loud_in_tests()))
    expect(not silent, f"never seen loud by alerts_test.yml: {silent}")
    with tempfile.TemporaryDirectory(prefix="tributary-") as folder:
        for name in os.listdir(SOURCE):
            shutil.copy(os.path.join(SOURCE, name), folder)
        path = os.path.join(folder, "alerts.yml")
        text = open(path, encoding="utf-8").read()
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace("tributary_global_region_unexplained != 0", "tributary_global_region_unexplained > 99"))
        taken, _ = promtool("test", "rules", "alerts_test.yml", folder=folder)
        expect(not taken, "an alert that comes too late passes: the check says nothing")


tell(test)
