"""Real Ray on this machine for the scripts in cluster/: what stands in for Slurm is named a shim."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest


@pytest.fixture
def environment() -> dict[str, str]:
    """Ours without what says where a Ray cluster is; `python` and `ray` are this environment's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "SLURM_"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return kept | {"PATH": path, "RAY_raylet_start_wait_time_s": "240"}
