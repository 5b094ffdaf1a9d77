"""SIMULATION: how busy 64 GPUs are in a sweep of 100 pairs over 8 tasks, and how long it takes.

    python -m tests.benchmarks.bench_scaling [--gpus 64] [--pairs 100] [--output FILE]

The schedulers are the real ones (`SweepSchedule` for lanes, `Schedule` for the actors of a search); engines are
replaced by timings that `bench_search` recorded on this machine (tiny models on CPUs), each drawn 30 % up or down. What
it shows is how well work is handed out, not how fast a GPU is; so every figure is also given for engines that take ten
times as long to start, and for lanes that start new engines for every search.
"""

from __future__ import annotations

import argparse
import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from adamms.engines.schedule import Schedule
from adamms.prompts.prompt import Prompt
from adamms.sweeping.schedule import SweepSchedule

ALPHAS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
SPREAD = 0.3
RESULTS = Path(__file__).parent / "results" / "scaling.md"


@dataclass(frozen=True)
class Timings:
    """Seconds. `unit`: answering a block of prompts; `finish`: choosing, exporting and reporting, engines idle."""

    start: float = 16.6
    adopt: float = 0.1
    move: float = 0.036
    unit: float = 0.36
    finish: float = 4.0


@dataclass(frozen=True)
class Sweep:
    pairs: int = 100
    bases: int = 10
    prompts: int = 800
    block: int = 32
    gpus: int = 64
    actors: int = 1
    shared: bool = True


@dataclass
class Lane:
    """Its clock, and how long its actors have worked."""

    now: float = 0.0
    engines: str = ""
    starts: int = 0
    busy: float = 0.0


def simulate(sweep: Sweep, timings: Timings, seed: int = 0) -> tuple[float, float, int]:
    """Makespan in seconds, utilisation (0 to 1: actors moving or answering), and how often engines were started."""
    dice = random.Random(seed)
    engines = {f"pair {n}": f"base {n % sweep.bases}" for n in range(sweep.pairs)}
    schedule = SweepSchedule(engines)
    lanes = [Lane() for _ in range(sweep.gpus // sweep.actors)]
    free = [(0.0, number) for number in range(len(lanes))]
    while free:
        _, number = heapq.heappop(free)
        search, lane = schedule.take(number), lanes[number]
        if search is None:
            continue
        if lane.engines == engines[search] and sweep.shared:
            lane.now += timings.adopt
        else:
            lane.engines, lane.starts = engines[search], lane.starts + 1
            lane.now += _drawn(timings.start, dice)
        _answer(lane, sweep, timings, dice)
        lane.now += _drawn(timings.finish, dice)
        heapq.heappush(free, (lane.now, number))
    makespan = max(lane.now for lane in lanes)
    busy = sum(lane.busy for lane in lanes) / (makespan * sweep.gpus)
    return makespan, busy, sum(lane.starts for lane in lanes)


def _answer(lane: Lane, sweep: Sweep, timings: Timings, dice: random.Random) -> None:
    """One search on the actors of a lane."""
    prompts = [Prompt(str(n), "") for n in range(sweep.prompts)]
    schedule = Schedule(dict.fromkeys(ALPHAS, prompts), sweep.block, attempts=3)
    at: dict[int, float] = {}
    idle = [(lane.now, actor) for actor in range(sweep.actors)]
    while idle:
        now, actor = heapq.heappop(idle)
        lane.now = max(lane.now, now)
        unit = schedule.take(actor)
        if unit is None:
            continue
        moving = 0.0 if at.get(actor) == unit.candidate else timings.move
        at[actor] = unit.candidate
        seconds = moving + _drawn(timings.unit, dice) * len(unit.prompts) / sweep.block
        lane.busy += seconds
        heapq.heappush(idle, (now + seconds, actor))


def _drawn(seconds: float, dice: random.Random) -> float:
    return seconds * dice.uniform(1 - SPREAD, 1 + SPREAD)


def report(sweep: Sweep, timings: Timings) -> str:
    lines = [
        "**A simulation**: real scheduler code, engines replaced by recorded timings "
        f"(start {timings.start:g} s, a block of {sweep.block} prompts {timings.unit:g} s, a move {timings.move:g} s, "
        f"the end of a search {timings.finish:g} s; each +-{SPREAD:.0%}). {sweep.pairs} pairs over {sweep.bases} "
        f"bases, {sweep.prompts} prompts (8 tasks), {len(ALPHAS)} alphas. `python -m tests.benchmarks.bench_scaling`",
        "",
        "| GPUs | actors a search | engines | start | makespan min | speed-up | utilisation | engine starts |",
        "|---|---|---|---|---|---|---|---|",
    ]
    alone = simulate(replace(sweep, gpus=1, actors=1), timings)[0]
    slow_alone = simulate(replace(sweep, gpus=1, actors=1), replace(timings, start=10 * timings.start))[0]
    for start, one in ((1, alone), (10, slow_alone)):
        for gpus, actors, shared in _settings(sweep.gpus):
            found = simulate(
                replace(sweep, gpus=gpus, actors=actors, shared=shared), replace(timings, start=start * timings.start)
            )
            makespan, busy, starts = found
            kind = "shared by base" if shared else "new for every search"
            lines.append(
                f"| {gpus} | {actors} | {kind} | {start}x | {makespan / 60:.1f} | {one / makespan:.1f} | {busy:.0%} "
                f"| {starts} |"
            )
    return "\n".join(lines) + "\n"


def _settings(gpus: int) -> Sequence[tuple[int, int, bool]]:
    return [(1, 1, True), (8, 1, True), (gpus, 1, True), (gpus, 1, False), (gpus, 4, True), (gpus, 4, False)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("gpus", 64), ("pairs", 100), ("bases", 10), ("prompts", 800)):
        parser.add_argument(f"--{name}", type=int, default=value)
    for name in ("start", "move", "unit", "finish"):
        parser.add_argument(f"--{name}", type=float, default=getattr(Timings, name), help="seconds")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    sweep = Sweep(given.pairs, given.bases, given.prompts, gpus=given.gpus)
    text = report(sweep, Timings(given.start, Timings.adopt, given.move, given.unit, given.finish))
    print(text)
    if given.output:
        given.output.parent.mkdir(parents=True, exist_ok=True)
        given.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
