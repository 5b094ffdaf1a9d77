"""The end of a sweep: every search in one table, the most consistent first."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from adamms.errors import UserError
from adamms.reporting.figures.ranking import draw_ranking
from adamms.reporting.labels import candidate_label, value_label
from adamms.reporting.tables import new_table
from adamms.runs.run_folder import RunFolder

FAILED = "failed"
STOPPED = "stopped by", "was over before"
"""What a warning says where a budget ended answering, or scoring: the same search goes on with a larger one."""


@dataclass(frozen=True)
class RankedSearch:
    """One search of a sweep.

    Attributes:
        name: pair/method.
        status: finished, unchanged (it had been finished by an earlier run), stopped (by the budget), failed.
        chosen: the chosen value of the coefficient, for all prompts.
        divergence: of the chosen candidate, per prompt: with `either`, the share of prompts whose answer changes to a
            neighbour. Comparable between searches over the same tasks only.
        support: in what share of the resamples of the prompts the same candidate is chosen, 0 to 1.
        tasks: each task's own chosen value.
        warnings: what speaks against the choice, or why it failed.
        checkpoint: the winner's folder.
        coefficient: what was searched.
        metric: the criterion that the choice was made by, where that is not the sweep's: its divergence is on another
            scale, so that such a search comes after the others.
    """

    name: str
    status: str
    chosen: float | None = None
    divergence: float | None = None
    support: float | None = None
    tasks: Mapping[str, float | None] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    checkpoint: str = ""
    coefficient: str = "alpha"
    metric: str = ""


def finished_search(name: str, status: str, run: RunFolder, metric: str) -> RankedSearch:
    """A search that has chosen, from what it left in its folder.

    Args:
        metric: the sweep's criterion.
    """
    found: dict[str, Any] = run.read(run.selection)
    prompts = found["prompts"]["used"]
    chosen = value_label(found["alpha"])
    score = found["scores"].get(chosen)
    own = [warning for one in found.get("tasks", {}).values() for warning in one["warnings"]]
    stopped = any(part in warning for warning in [*found["warnings"], *own] for part in STOPPED)
    return RankedSearch(
        name,
        "stopped" if stopped else status,
        found["alpha"],
        None if score is None or not prompts else score / prompts,
        found["bootstrap"].get(chosen),
        {task: one["alpha"] for task, one in found.get("tasks", {}).items()},
        tuple(found["warnings"]),
        str(run.merged.resolve()),
        found["coefficient"],
        found["metric"] if found["metric"] != metric else "",
    )


def failed_search(name: str, error: Exception) -> RankedSearch:
    """A search that came to nothing."""
    text = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    return RankedSearch(name, FAILED, warnings=(text.strip().splitlines()[0],))


def ranked(searches: Iterable[RankedSearch]) -> list[RankedSearch]:
    """The most consistent first, then those chosen by another criterion, last those without a choice; equal ones by
    name."""
    return sorted(searches, key=lambda one: (one.divergence is None, one.metric, one.divergence or 0.0, one.name))


def to_json(searches: Sequence[RankedSearch]) -> list[dict[str, Any]]:
    """As `sweep.json` holds them, in their order; the chosen value is `alpha` there, as in `selection.json`."""
    return [{("alpha" if key == "chosen" else key): value for key, value in asdict(one).items()} for one in searches]


def to_table(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows of what `sweep.json` holds, in the same order; what a cell cannot hold is written as text."""
    found = []
    for place, row in enumerate(rows, 1):
        texts = {"tasks": _tasks(row["tasks"]), "warnings": "; ".join(row["warnings"])}
        found.append({"place": None if row["divergence"] is None or row.get("metric") else place, **row, **texts})
    return list(found[0]) if found else [], [list(row.values()) for row in found]


def print_ranking(searches: Sequence[RankedSearch], metric: str) -> None:
    """The table on stdout."""
    coefficient = next((one.coefficient for one in searches if one.status != FAILED), "chosen")
    words = "pair/method", f"{metric} per prompt", "supported", "tasks", "status"
    table = new_table(["", words[0], coefficient, *words[1:]], words)
    for place, one in enumerate(searches, 1):
        table.add_row(
            "" if one.divergence is None or one.metric else str(place),
            one.name,
            value_label(one.chosen),
            "-" if one.divergence is None else f"{one.divergence:.3f}{f' by {one.metric}' if one.metric else ''}",
            "-" if one.support is None else f"{one.support:.0%}",
            _tasks(one.tasks),
            one.status,
        )
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)  # in a log nothing has to be folded
    console.print(table)
    for one in searches:
        for warning in one.warnings:
            print(f"{one.name}: {warning}")


def draw(searches: Sequence[RankedSearch], metric: str, folder: Path) -> list[Path]:
    """The figure of the ranking, in every form; none where nothing was chosen."""
    scores, chosen = {}, {}
    for one in searches:
        if one.chosen is not None and one.divergence is not None and not one.metric:
            scores[one.name], chosen[one.name] = one.divergence, candidate_label(one.coefficient, one.chosen)
    return draw_ranking(scores, chosen, f"{metric} per prompt").write(folder) if scores else []


def _tasks(chosen: Mapping[str, float | None]) -> str:
    """`ocr 0.2, vqa 0.3`"""
    return ", ".join(f"{task} {value_label(value)}" for task, value in chosen.items())
