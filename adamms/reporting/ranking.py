"""The end of a sweep: every search in one table, the most consistent first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from adamms.errors import UserError
from adamms.reporting.figures import RankedPair, draw_ranking
from adamms.runs.run_folder import RunFolder
from adamms.runs.values import format_value

FAILED, WAITING = "failed", "waiting"


@dataclass(frozen=True)
class Row:
    """One search.

    Attributes:
        name: pair/method.
        status: finished, unchanged (it had been finished by an earlier run), stopped (by the budget), failed; waiting
            while the sweep goes on.
        alpha: for all prompts.
        divergence: of the chosen candidate, per prompt: with the metrics that count, the share of prompts whose
            answer changes to a neighbour. Comparable between searches over the same tasks only.
        support: how often the same alpha is chosen from resampled prompts, 0 to 1.
        tasks: each task's own alpha.
        warnings: what speaks against the choice, or why it failed.
        checkpoint: the winner's folder.
    """

    name: str
    status: str
    alpha: float | None = None
    divergence: float | None = None
    support: float | None = None
    tasks: Mapping[str, float | None] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    checkpoint: str = ""


def row_of(name: str, status: str, run: RunFolder) -> Row:
    """A search that has chosen, from what it left in its folder."""
    found: dict[str, Any] = run.read(run.selection)
    alpha, prompts = found["alpha"], found["prompts"]["used"]
    chosen = "" if alpha is None else format_value(alpha)
    score = found["scores"].get(chosen)
    stopped = any(warning.startswith("stopped by") for warning in found["warnings"])
    return Row(
        name,
        "stopped" if stopped else status,
        alpha,
        None if score is None or not prompts else score / prompts,
        found["bootstrap"].get(chosen),
        {task: one["alpha"] for task, one in found.get("tasks", {}).items()},
        tuple(found["warnings"]),
        str(run.merged.resolve()),
    )


def failed_row(name: str, error: Exception) -> Row:
    """A search that came to nothing."""
    text = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    return Row(name, FAILED, warnings=(text.strip().splitlines()[0],))


def ranked(rows: Iterable[Row]) -> list[Row]:
    """The most consistent first, those without a choice last; equal ones by name."""
    return sorted(rows, key=lambda row: (row.divergence is None, row.divergence or 0.0, row.name))


def to_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """As `sweep.json` holds them, in their order."""
    return [asdict(row) for row in rows]


def to_table(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows of what `sweep.json` holds, in the same order; what a cell cannot hold is written as text."""
    found = [
        {
            "place": None if row["divergence"] is None else place,
            **row,
            "tasks": _tasks(row["tasks"]),
            "warnings": "; ".join(row["warnings"]),
        }
        for place, row in enumerate(rows, 1)
    ]
    return list(found[0]) if found else [], [list(row.values()) for row in found]


def print_ranking(rows: Sequence[Row], metric: str) -> None:
    """The table on stdout."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("", "pair/method", "alpha", f"{metric} per prompt", "supported", "tasks", "status"):
        table.add_column(column, justify="right" if column in ("", "alpha") else "left")
    for place, row in enumerate(rows, 1):
        table.add_row(
            "" if row.divergence is None else str(place),
            row.name,
            "-" if row.alpha is None else format_value(row.alpha),
            "-" if row.divergence is None else f"{row.divergence:.3f}",
            "-" if row.support is None else f"{row.support:.0%}",
            _tasks(row.tasks),
            row.status,
        )
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)  # in a log nothing has to be folded
    console.print(table)
    for row in rows:
        for warning in row.warnings:
            print(f"{row.name}: {warning}")


def draw(rows: Sequence[Row], metric: str, folder: Path) -> list[Path]:
    """The figure of the ranking, in every form; none where nothing was chosen."""
    pairs = [RankedPair(row.name, row.alpha, row.divergence) for row in rows if row.divergence is not None]
    if not pairs:
        return []
    return draw_ranking(pairs, f"{metric} per prompt", larger_is_better=False).write(folder)


def _tasks(alphas: Mapping[str, float | None]) -> str:
    return ", ".join(f"{name} {'-' if alpha is None else format_value(alpha)}" for name, alpha in alphas.items())
