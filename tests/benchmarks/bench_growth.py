"""How time and memory grow with prompts, candidates and tasks: `make bench-growth`. Answers are made up; no model runs.

    python -m tests.benchmarks.bench_growth [--write] [--prompts 10 100 ...] [--candidates 7 61] [--tasks 1 20]

For each size, in a process of its own: reading the stored answers, choosing (for all prompts and for each task), the
report, its delivery to an MLflow database; and how long headless Chromium takes to load the report. The prompts are
those of all tasks together. Growth exponents compare sizes ten times apart: 1 is linear.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.machine import machine

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results" / "growth.md"
PROMPTS, CANDIDATES, TASKS = (10, 100, 1_000, 10_000), (7, 61), (1, 20)
STEPS = ("read", "select", "report", "deliver")
LINEAR = 1.15  # an exponent of measurements on a busy machine that is not worse than linear
SMALLEST = 1.0  # seconds, and hundreds of MB: below it fixed costs and noise hide how something grows
OPENS = 2.0  # seconds in which a report is to open
WORDS = ("purple star", "grape star", "a mango ring on the left", "lime heart", "cherry square, I think", "étoile")


@dataclass(frozen=True)
class Cell:
    """One size: prompts of all tasks together."""

    prompts: int
    candidates: int
    tasks: int


def main() -> None:
    options = _options()
    if options.measure:
        print(json.dumps(measure(Cell(*json.loads(options.measure)))))
        return
    cells = [
        Cell(*sizes)
        for sizes in itertools.product(options.prompts, options.candidates, options.tasks)
        if sizes[0] >= sizes[2]  # a task has a prompt at least
    ]
    found: dict[Cell, dict[str, Any]] = {}
    before = machine()
    for cell in sorted(cells, key=lambda cell: cell.prompts * cell.candidates):
        found[cell] = _in_a_new_process(cell)
        print(cell, json.dumps(found[cell]), file=sys.stderr, flush=True)
        text = report(found, before)
        if options.write:
            options.write.write_text(text, encoding="utf-8")
    print(text)


def _in_a_new_process(cell: Cell) -> Any:
    task = json.dumps([cell.prompts, cell.candidates, cell.tasks])
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, "-m", "tests.benchmarks.bench_growth", "--measure", task]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT, env=environment).stdout
    return json.loads(output.splitlines()[-1])


# ---- one size


def measure(cell: Cell) -> dict[str, Any]:
    """Seconds and memory of every step on a made-up search of this size, the size of its report in bytes, and the
    seconds in which a browser loads it (None without one)."""
    from adamms.reporting.report import Story, write_report
    from adamms.runs.responses import of_task, read_responses
    from adamms.selecting.selection import select
    from adamms.tracking.delivery import deliver
    from adamms.tracking.server import Server
    from tests.support.searches import SECONDS, made_up_plan, write_choice

    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="bench-growth-") as scratch:
        run, prompts = _made_up_search(Path(scratch) / "run", cell)
        server = Server(f"sqlite:///{scratch}/mlflow.db", "growth")
        server.check()  # its tables take seconds that have nothing to do with sizes
        texts = {prompt.id: prompt.text for prompt in prompts}
        responses = _measured(found, "read", lambda: read_responses(run.folder))

        def choose() -> dict[str, Any]:
            chosen = select(responses, prompts=texts).to_json()
            if cell.tasks > 1:
                names = sorted({prompt.id.partition("/")[0] for prompt in prompts})
                chosen["tasks"] = {n: select(of_task(responses, n), prompts=texts).to_json() for n in names}
            return chosen

        selection = _measured(found, "select", choose)
        write_choice(run, selection)
        story = Story(made_up_plan(), selection, responses, prompts, seconds=SECONDS)
        _measured(found, "report", lambda: write_report(story, run))
        found["items"] = _measured(found, "deliver", lambda: deliver(run, server))
        found["report bytes"] = run.report.stat().st_size
        found["opens"] = _seconds_to_open(run.report, Path(scratch) / "chromium")
    return found


def _made_up_search(folder: Path, cell: Cell) -> tuple[Any, list[Any]]:
    """The run folder of a search that has answered; all that is left to do is to choose, to report and to deliver."""
    from adamms.prompts.prompt import Prompt
    from adamms.runs.run_folder import FINISHED, RUNNING, RunFolder
    from tests.support.searches import write_candidate
    from tests.support.tiny_models import picture

    run, image = RunFolder(folder), (picture(0),)
    tasks: dict[str, list[Prompt]] = {}
    for i in range(cell.prompts):
        task = f"task-{i % cell.tasks:02d}" if cell.tasks > 1 else ""
        name = f"{task}/{i:05d}" if task else f"{i:05d}"
        tasks.setdefault(task, []).append(Prompt(name, f"What is at the top left of picture {i}?", image))
    prompts = [prompt for found in tasks.values() for prompt in found]
    run.describe("growth", "donor into base", {"base": "base", "donor": "donor", "method": "linear"})
    run.describe_prompts(tasks, {task: f"tasks/{task}.jsonl" for task in tasks}, seed=0)
    run.set_status(RUNNING)
    run.write(run.plan, {})
    for value in (round(i / cell.candidates, 3) for i in range(cell.candidates)):
        write_candidate(run, value, {prompt.id: _answer(value, i) for i, prompt in enumerate(prompts)})
    run.set_status(FINISHED)
    return run, prompts


def _answer(value: float, i: int) -> str:
    """Changes twice or so on the way from the base to the donor, at a point of each prompt's own."""
    first, last = (i * 37 % 100) / 200, 0.5 + (i * 53 % 100) / 200
    return f"{WORDS[(i + (value > first) + (value > last)) % len(WORDS)]} {i % 7}"


def _measured(found: dict[str, Any], step: str, action: Callable[[], Any]) -> Any:
    """Runs a step; notes its seconds, those of processors, and the MB that the process had at most beyond before."""
    import torch

    from adamms.engines.peak import take_peak

    take_peak(torch.device("cpu"))
    before, started, worked = take_peak(torch.device("cpu")).resident, time.perf_counter(), time.process_time()
    result = action()
    found[step], found[f"{step} CPU"] = time.perf_counter() - started, time.process_time() - worked
    found[f"{step} MB"] = (take_peak(torch.device("cpu")).resident - before) / 1e6
    return result


def _seconds_to_open(page: Path, profile: Path) -> float | None:
    """From asking for the page until its `load` event, in headless Chromium."""
    import shutil

    from tests.tracking.conftest import Browser

    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        return None
    browser = Browser(profile)
    try:
        browser.open("about:blank")
        browser.open(page.as_uri())
        entry = "performance.getEntriesByType('navigation')[0]"
        return float(browser.wait(f"{entry}.loadEventEnd && {entry}.loadEventEnd / 1000"))
    finally:
        browser.driver.quit()


# ---- the tables


def report(found: Mapping[Cell, Mapping[str, Any]], machine: str) -> str:
    """All that was measured, as Markdown."""
    lines = [
        "# Growth with prompts, candidates and tasks",
        "",
        "`make bench-growth`: made-up answers, no models. Prompts are those of all tasks together. For each step: "
        "seconds / those of processors / MB beyond what the process had before. `open`: seconds until Chromium "
        "has loaded the report. `read` reads the stored answers, `select` chooses for all prompts and for each task, "
        "`report` writes the report with its figures, `deliver` brings all to MLflow on SQLite.",
        "",
        machine,
        "",
        f"| prompts | candidates | tasks | {' | '.join(STEPS)} | open | report kB |",
        f"|{'---|' * (5 + len(STEPS))}",
    ]
    for cell, row in sorted(found.items(), key=lambda item: (item[0].tasks, item[0].candidates, item[0].prompts)):
        steps = (f"{row[step]:.1f} / {row[f'{step} CPU']:.2f} / {row[f'{step} MB']:.0f}" for step in STEPS)
        opens = "" if row["opens"] is None else f"{row['opens']:.2f}"
        sizes = f"{cell.prompts:,} | {cell.candidates} | {cell.tasks}"
        lines.append(f"| {sizes} | {' | '.join(steps)} | {opens} | {row['report bytes'] / 1e3:.0f} |")
    worse, exponents = exponents_of(found)
    floor = f"- exponents of less than {SMALLEST:g} s or {100 * SMALLEST:g} MB are left out (-); what is smaller than "
    floor += f"{0.3 * SMALLEST:g} s or {30 * SMALLEST:g} MB counts as that much"
    lines += [
        "",
        *exponents,
        "",
        floor,
        *(worse or [f"- nothing grows worse than linearly (exponent {LINEAR} or less)"]),
    ]
    slow = [cell for cell, row in found.items() if row["opens"] is not None and row["opens"] > OPENS]
    lines.append(f"- reports that open in more than {OPENS:g} s: {', '.join(map(str, slow)) or 'none'}")
    return "\n".join(lines) + "\n"


def exponents_of(found: Mapping[Cell, Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """What grows worse than linearly, in sentences; and a table of the exponents of processor seconds and of memory
    between each size and the next larger one, along prompts, candidates and tasks; none where both are too small."""
    worse, rows = [], []
    for axis in ("prompts", "candidates", "tasks"):
        for small, large in itertools.permutations(sorted(found, key=str), 2):
            if not _next(small, large, axis, found):
                continue
            ratio = getattr(large, axis) / getattr(small, axis)
            told = f"{axis} {getattr(small, axis):,} -> {getattr(large, axis):,}, {_others(small, axis)}"
            row = []
            for step in STEPS:
                exponent = _exponent(found[small][f"{step} CPU"], found[large][f"{step} CPU"], ratio, SMALLEST)
                memory = _exponent(found[small][f"{step} MB"], found[large][f"{step} MB"], ratio, 100 * SMALLEST)
                for what, value in (("time", exponent), ("memory", memory)):
                    if value is not None and value > LINEAR:
                        worse.append(f"- **worse than linear**: {what} of {step}, {told}: exponent {value:.2f}")
                row.append(" / ".join("-" if value is None else f"{value:.2f}" for value in (exponent, memory)))
            rows.append(f"| {told} | {' | '.join(row)} |")
    head = [f"| exponents: time / memory | {' | '.join(STEPS)} |", f"|{'---|' * (1 + len(STEPS))}"]
    return worse, [*head, *rows]


def _exponent(small: float, large: float, ratio: float, smallest: float) -> float | None:
    """Of the power of the size that something grows with; None where that is too small to tell."""
    if large < smallest:
        return None
    return math.log(large / max(small, 0.3 * smallest)) / math.log(ratio)


def _next(small: Cell, large: Cell, axis: str, cells: Mapping[Cell, object]) -> bool:
    """Whether `large` is `small` with the next larger number on one axis."""
    numbers = sorted({getattr(cell, axis) for cell in cells if _others(cell, axis) == _others(small, axis)})
    later = [number for number in numbers if number > getattr(small, axis)]
    return bool(later) and _others(small, axis) == _others(large, axis) and getattr(large, axis) == later[0]


def _others(cell: Cell, axis: str) -> str:
    return ", ".join(f"{name} {getattr(cell, name):,}" for name in ("prompts", "candidates", "tasks") if name != axis)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, nargs="+", default=PROMPTS)
    parser.add_argument("--candidates", type=int, nargs="+", default=CANDIDATES)
    parser.add_argument("--tasks", type=int, nargs="+", default=TASKS)
    parser.add_argument("--write", type=Path, nargs="?", const=RESULTS, help="Markdown file for the results")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
