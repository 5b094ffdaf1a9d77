"""A selection as a table that a person can read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from adamms.judging.judgement import Judgement
from adamms.runs.values import format_value
from adamms.selecting.selection import END_POINT, Selection

if TYPE_CHECKING:
    from adamms.engines.noise import Noise
    from adamms.searching.outcome import Outcome
    from adamms.tracking.config import TrackingConfig


def print_selection(selection: Selection, console: Console | None = None) -> None:
    """Alpha, divergence and its parts, how often each would be chosen, the chosen one, and the verdict."""
    console = console or Console(soft_wrap=True)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("alpha", selection.metric, "to the left", "to the right", "bootstrap", "", "not chosen because"):
        table.add_column(column, justify="left" if column in ("", "not chosen because") else "right")
    for alpha, score in selection.scores.items():
        table.add_row(
            format_value(alpha),
            _number(score),
            _number(selection.left[alpha]),
            _number(selection.right[alpha]),
            f"{selection.bootstrap[alpha]:.0%}" if alpha in selection.bootstrap else "",
            "<- chosen" if alpha == selection.alpha else "",
            selection.excluded.get(alpha, "").replace(END_POINT, "end point"),
            style="bold green" if alpha == selection.alpha else None,
        )
    console.print(table)
    console.print(selection.verdict)
    for warning in selection.warnings:
        console.print(f"warning: {warning}")


def print_outcome(outcome: Outcome, checkpoints: Sequence[Path], tracking: TrackingConfig) -> None:
    """The end of a search: the table, the tasks, what was saved, the checkpoints, and how to look at all of it."""
    console = Console(soft_wrap=True)
    print_selection(outcome.selection, console)
    if outcome.tasks:
        console.print(tasks_table(outcome))
    if outcome.noise is not None:
        console.print(f"noise:      {outcome.noise.differing} of {outcome.noise.asked} answers differ when asked again")
    if outcome.effort.saved > 0:
        console.print(
            f"saved:      {outcome.effort.saved:.0%} of the answers "
            f"({outcome.effort.answers} instead of {outcome.effort.full})"
        )
    for checkpoint in checkpoints:
        console.print(f"checkpoint: {checkpoint}")
    if tracking.enabled:
        console.print(f"dashboard:  {dashboard_command(tracking.uri)}")


def tasks_table(outcome: Outcome) -> Table:
    """Each task's alpha, the one for all, and how far each is supported."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("task", "alpha", "verdict"):
        table.add_column(column, justify="right" if column == "alpha" else "left")
    for name, selection in outcome.selections.items():
        chosen = "-" if selection.alpha is None else format_value(selection.alpha)
        notes = "; ".join([selection.verdict, *selection.warnings])
        table.add_row(name or "all", chosen, notes)
    return table


def judgement_table(judgements: Mapping[str, Judgement]) -> Table:
    """Accuracy of every candidate, by task; the chosen one marked with *."""
    first = next(iter(judgements.values()))
    table = Table(box=None, header_style="bold", pad_edge=False)
    columns = ["task", *(f"{format_value(alpha)}" for alpha in first.accuracy), "donor", "chosen", "oracle", "regret"]
    for column in (*columns, "rank corr."):
        table.add_column(column, justify="left" if column == "task" else "right")
    for task, judgement in judgements.items():
        table.add_row(task, *_cells(judgement, "{:.1f}*"))
    return table


@dataclass(frozen=True)
class Trust:
    """What a search says of its own choice: the share of resamples it is chosen in, and the noise floor."""

    confidence: float
    noise: Noise

    def cells(self) -> list[str]:
        return [f"{100 * self.confidence:.0f} %", f"{self.noise.differing} of {self.noise.asked}"]


def judgement_markdown(judgements: Mapping[tuple[int, str], Judgement], trust: Mapping[tuple[int, str], Trust]) -> str:
    """Accuracies by seed and task as Markdown, the chosen one in bold, with the means of the choice beside others."""
    rows = list(judgements.values())
    alphas = list(rows[0].accuracy)
    header = ["seed", "task", *map(format_value, alphas), "donor", "chosen", "oracle", "regret", "rank corr."]
    header += ["confidence", "noise"]
    lines = [_row(header), _row(["---"] * len(header))]
    for (seed, task), judgement in judgements.items():
        own = trust[seed, task].cells()
        lines.append(_row([str(seed), task, *_cells(judgement, "**{:.1f}**"), *own]))
    beyond = sum(j.accuracy[j.chosen] > max(j.accuracy[alphas[0]], j.donor or 0) for j in rows)
    means = {
        "base": mean(j.accuracy[alphas[0]] for j in rows),
        "donor": mean(j.donor or 0 for j in rows),
        "chosen": mean(j.accuracy[j.chosen] for j in rows),
        "oracle": mean(j.accuracy[j.oracle] for j in rows),
    }
    lines += [
        "",
        "Mean accuracy: " + ", ".join(f"{name} {value:.1f}" for name, value in means.items())
        + f"; mean regret {mean(j.regret for j in rows):.1f}; the chosen alpha beats both parents in {beyond} of "
        f"{len(rows)}.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def methods_markdown(judgements: Mapping[tuple[int, str], Judgement]) -> str:
    """The paper's kind of table: methods by tasks (means over the seeds), and the sum."""
    rows = methods_by_tasks(judgements)
    tasks = list(dict.fromkeys(task for _, task in judgements))
    lines = [_row(["method", *tasks, "sum"]), _row(["---"] + ["---:"] * (len(tasks) + 1))]
    lines += [
        _row([name, *(f"{cells[task]:.1f}" for task in tasks), f"{sum(cells.values()):.1f}"])
        for name, cells in rows.items()
    ]
    return "\n".join(lines) + "\n"


def methods_table(judgements: Mapping[tuple[int, str], Judgement]) -> Table:
    """Likewise for the terminal."""
    tasks = list(dict.fromkeys(task for _, task in judgements))
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("method", *tasks, "sum"):
        table.add_column(column, justify="left" if column == "method" else "right")
    for name, cells in methods_by_tasks(judgements).items():
        table.add_row(name, *(f"{cells[task]:.1f}" for task in tasks), f"{sum(cells.values()):.1f}")
    return table


def methods_by_tasks(judgements: Mapping[tuple[int, str], Judgement]) -> dict[str, dict[str, float]]:
    """Method -> task -> accuracy: both parents, the baselines, AdaMMS, and the best candidate as the labels see it."""
    columns: dict[str, dict[str, list[float]]] = {}
    for (_, task), judgement in judgements.items():
        base = judgement.accuracy[min(judgement.accuracy)]
        column = {"base": base} | ({} if judgement.donor is None else {"donor": judgement.donor})
        column |= dict(judgement.baselines)
        column |= {"AdaMMS": judgement.accuracy[judgement.chosen], "oracle": judgement.accuracy[judgement.oracle]}
        for name, value in column.items():
            columns.setdefault(name, {}).setdefault(task, []).append(value)
    return {name: {task: mean(values) for task, values in cells.items()} for name, cells in columns.items()}


def _cells(judgement: Judgement, mark: str) -> list[str]:
    accuracies = [
        mark.format(value) if alpha == judgement.chosen else f"{value:.1f}"
        for alpha, value in judgement.accuracy.items()
    ]
    correlation = judgement.rank_correlation
    return [
        *accuracies,
        "-" if judgement.donor is None else f"{judgement.donor:.1f}",
        format_value(judgement.chosen),
        format_value(judgement.oracle),
        f"{judgement.regret:.1f}",
        "-" if correlation is None else f"{correlation:+.2f}",
    ]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def dashboard_command(uri: str) -> str:
    """How to open the dashboard of a tracking URI."""
    return uri if uri.startswith("http") else f"mlflow ui --backend-store-uri {uri}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"
