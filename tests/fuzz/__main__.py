"""`make fuzz`: many drawn cases at every door; ends with a table, or with the smallest case that breaks in.

`make fuzz FUZZ="--cases 2000 --seed 7 --doors headers images"` repeats a part.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import resource
import sys
import tempfile
import time
import traceback
from pathlib import Path

MEMORY = 12 << 30  # bytes of addresses, so that a case that takes more breaks in rather than kills the machine


def main() -> None:
    arguments = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    arguments.add_argument("--cases", type=int, default=200_000, help="in all, divided among the doors")
    arguments.add_argument("--seed", type=int, default=None, help="of the draw; drawn itself unless given")
    arguments.add_argument("--doors", nargs="*", default=None, help="only these")
    given = arguments.parse_args()
    seed = random.randrange(1 << 32) if given.seed is None else given.seed
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as place:
        os.environ |= {
            "HOME": place,
            "ADAMMS_CACHE": f"{place}/cache",
            "HF_HUB_OFFLINE": "1",
            "MLFLOW_TRACKING_URI": "",
        }
        os.chdir(place)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        sys.exit(not run(given.cases, seed, given.doors, Path(place)))


def run(cases: int, seed: int, names: list[str] | None, place: Path) -> bool:
    """Whether every door held."""
    from tests.fuzz.doors import DOORS
    from tests.fuzz.draw import draw_cases

    logging.disable()
    doors = {name: DOORS[name] for name in names or DOORS}
    shares = sum(door.share for door in doors.values())
    print(f"seed {seed}\n{'door':15}{'cases':>9}{'seconds':>9}{'longest':>9}", flush=True)
    total, held = 0, True
    for name, door in doors.items():
        started = time.perf_counter()
        try:
            tried = draw_cases(door, place / name, round(cases * door.share / shares), seed)
        except Exception:  # hypothesis has printed the case
            held = False
            print(f"\n{name}: broken\n{traceback.format_exc()}", flush=True)
            continue
        total += tried.count
        print(f"{name:15}{tried.count:9}{time.perf_counter() - started:9.0f}{tried.longest:9.2f}", flush=True)
    print(f"{'all':15}{total:9}", flush=True)
    return held


if __name__ == "__main__":
    main()
