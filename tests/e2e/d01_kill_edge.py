# SPDX-License-Identifier: Apache-2.0
"""d01: edges are killed under load, again and again: no acknowledged click is lost, none counts twice."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))

# pylint: disable=wrong-import-position
from e2e import Cluster, expect_exact, kill_under_load, tell


def test():
    with Cluster() as c:
        c.start()
        kill_under_load(c, [c.edges["us-e1"], c.edges["eu-e1"], c.edges["us-e2"], c.edges["us-e1"]], rate=8000)
        expect_exact(c)


tell(test)
