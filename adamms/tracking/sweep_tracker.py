"""The dashboard of a sweep: the run that those of its searches hang on."""

from __future__ import annotations

from adamms.tracking.run_tracker import RunTracker


class SweepTracker(RunTracker):
    """A context manager around a sweep (`RunTracker`)."""

    role = "sweep"
