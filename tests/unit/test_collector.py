"""The garbage collector of a running gateway: in a process of its own, since it holds for the whole process."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import gc
from gateway.serve import spare_collector
before = len(gc.get_objects())
spare_collector()
print(before, len(gc.get_objects()), gc.get_threshold()[0], gc.isenabled())
"""


def test_what_lasts_is_out_of_the_collectors_sight_and_the_rest_is_not() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    before, after, young, enabled = done.stdout.split()
    assert int(before) > 10_000  # else there was nothing to spare
    assert int(after) < int(before) / 10
    assert (int(young), enabled) == (10_000, "True")
