# SPDX-License-Identifier: Apache-2.0
"""d11: the power of the spool's disk is cut under load, a few times; `./dev bench powercut` does it 200 times."""

import os
import sys

sys.dont_write_bytecode = True
for folder in ("harness", "bench"):
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", folder))

# pylint: disable=wrong-import-position
import bench_powercut

bench_powercut.main(8)
