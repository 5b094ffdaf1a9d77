"""What stopping early and refining save, and how often they change the choice.

    python -m tests.benchmarks.bench_early_stop                       # simulated responses
    python -m tests.benchmarks.bench_early_stop RUN/responses ...     # stored ones; an id like `task-1` names a task

Every rule searches the same answers as a search that asks everything; "changed" counts choices that differ from its.
"""

from __future__ import annotations

import argparse
import random
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from rich.console import Console
from rich.table import Table

from adamms.prompts.prompt import Prompt
from adamms.runs.responses import read_responses
from adamms.searching.config import SearchingConfig
from adamms.searching.goal import ChoiceRule, answers_without_saving, goals_of
from tests.support.simulated import Simulated, Told, drifting

ALPHAS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
COARSE = (0.0, 0.2, 0.4, 0.6)
RULES = {
    "never": {"stop": "never"},
    "confident 0.99, block 10": {"stop": "confident", "confidence": 0.99, "block": 10},
    "confident 0.95, block 10": {"stop": "confident", "block": 10},
    "confident 0.8, block 10": {"stop": "confident", "confidence": 0.8, "block": 10},
    "0.2, then 0.1": {"alphas": COARSE, "refine": (0.1,)},
    "0.2, then 0.1, confident": {"alphas": COARSE, "refine": (0.1,), "stop": "confident", "block": 10},
}
FINE = {
    "0.05": {"alphas": tuple(round(0.05 * n, 2) for n in range(13))},
    "0.2, then 0.1 and 0.05": {"alphas": COARSE, "refine": (0.1, 0.05)},
}


@dataclass(frozen=True)
class Sample:
    """One task: its prompts, and what every candidate answers."""

    prompts: list[Prompt]
    told: Told


def simulated(count: int) -> Iterator[Sample]:
    """Plateaus of every place; 100 prompts."""
    for seed in range(count):
        prompts = [Prompt(f"p{n}", f"{seed}: question {n}?") for n in range(100)]
        yield Sample(prompts, drifting(random.Random(seed).uniform(0.05, 0.55), seed))


def stored(folder: Path) -> Iterator[Sample]:
    """The tasks of a finished search."""
    responses = read_responses(folder)
    tasks: dict[str, list[Prompt]] = {}
    for name in responses[0.0]:
        tasks.setdefault(re.sub(r"[-/][^-/]*$", "", name), []).append(Prompt(name, name))
    for prompts in tasks.values():
        yield Sample(prompts, lambda alpha, prompt: responses[alpha][prompt.id])


def search(sample: Sample, folder: Path, options: dict[str, object]) -> tuple[float | None, int, int]:
    """The choice, the answers it took, and those it would have taken to ask everything."""
    rule = ChoiceRule.of(config := SearchingConfig(**{"metric": "either"} | options), config.alphas)  # type: ignore[arg-type]
    goals = goals_of({"": sample.prompts}, config.alphas, rule)
    simulation = Simulated(folder, sample.prompts, sample.told)
    simulation.reach(goals)
    full = answers_without_saving(config.alphas, config.refine, len(sample.prompts))
    return goals[""].selection.chosen, simulation.book.answers, full


def table_of(samples: list[Sample], rules: dict[str, dict[str, object]], title: str) -> Table:
    table = Table(
        "rule", "answers saved", "changed", "mean change of alpha", box=None, title=title, title_justify="left"
    )
    reference: list[float | None] = []
    for name, options in rules.items():
        with tempfile.TemporaryDirectory() as folder:
            found = [search(sample, Path(folder, str(n)), options) for n, sample in enumerate(samples)]
        reference = reference or [alpha for alpha, _, _ in found]
        changes = [abs((alpha or 0) - (other or 0)) for (alpha, _, _), other in zip(found, reference, strict=True)]
        saved = 1 - sum(used for _, used, _ in found) / sum(full for _, _, full in found)
        changed = sum(change > 1e-9 for change in changes)
        table.add_row(name, f"{saved:.0%}", f"{changed} of {len(found)}", f"{mean(changes):.3f}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="responses/ of finished searches over 0, 0.1, ..., 0.6")
    parser.add_argument("--count", type=int, default=100, help="simulated tasks")
    options = parser.parse_args()
    console = Console(width=120)
    if options.folders:
        samples = [sample for folder in options.folders for sample in stored(folder)]
        console.print(table_of(samples, RULES, f"{len(samples)} stored tasks"))
        return
    samples = list(simulated(options.count))
    console.print(table_of(samples, RULES, f"{len(samples)} simulated tasks"))
    console.print(table_of(samples, FINE, "finer candidates"))


if __name__ == "__main__":
    main()
