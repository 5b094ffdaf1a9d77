"""Drawing cases for one door with hypothesis."""

from __future__ import annotations

import faulthandler
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, given, seed, settings

from tests.fuzz.doors import Door
from tests.fuzz.guard import attempt

HANG = 120.0  # seconds after which a case that hangs is shown with its stack, and the process ends


@dataclass
class Tried:
    """How many cases were let in, the seconds of the longest, and when hangs began to be watched for."""

    count: int = 0
    longest: float = 0.0
    watched_since: float = -HANG


def draw_cases(door: Door, place: Path, cases: int, number: int) -> Tried:
    """Lets so many drawn cases in; equal numbers draw equal cases.

    Raises:
        Exception: of the smallest case that breaks in, which its notes show.
    """
    tried = Tried()
    place.mkdir(parents=True, exist_ok=True)
    # what a fetch locks lies in the folder of temporary files, which is none that a case may write to otherwise
    locks = Path(tempfile.gettempdir())

    @seed(number)
    @settings(max_examples=max(cases, 1), deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(door.cases)
    def one(case: object) -> None:
        enter = door.open(case, place / "case")
        started = time.perf_counter()
        if started - tried.watched_since > HANG / 4:  # for every case it would take longer than the case
            faulthandler.dump_traceback_later(HANG, exit=True)
            tried.watched_since = started
        attempt(enter, place / "case" / door.output if door.output else None, locks)
        tried.count += 1
        tried.longest = max(tried.longest, time.perf_counter() - started)

    try:
        one()
    finally:
        faulthandler.cancel_dump_traceback_later()
    return tried
