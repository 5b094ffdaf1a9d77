"""A cluster of our own, in a process of its own: Ray reads its environment when it is imported."""

from __future__ import annotations

import os
import subprocess
import sys


def test_workers_have_the_priority_of_whoever_started_them() -> None:
    program = """
import os
from adamms.support.ray_session import ray_session
with ray_session(None):
    import ray
    print(os.nice(0), ray.get(ray.remote(lambda: os.nice(0)).remote()))
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    ours, workers = done.stdout.split()
    assert workers == ours
