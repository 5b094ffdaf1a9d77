"""Selections and judgements as tables for a terminal, or as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from adamms.judging.judgement import Judgement
from adamms.reporting.labels import value_label
from adamms.runs.values import format_value
from adamms.selecting.contest import END_POINT
from adamms.selecting.selection import Selection
from adamms.support.addresses import without_password

if TYPE_CHECKING:
    from adamms.engines.noise import Noise
    from adamms.searching.outcome import Outcome


CHANGES = "change to the next lower", "change to the next higher"
"""What the two parts of a score are called."""


def print_selection(selection: Selection, console: Console | None = None) -> None:
    """A row a candidate: its score and what it is made of, how often it would be chosen; then verdict and warnings."""
    console = console or Console(soft_wrap=True)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in (selection.coefficient, selection.criterion, *CHANGES, "chosen in resamples"):
        table.add_column(column, justify="right")
    for column in ("", "not chosen because"):
        table.add_column(column)
    for value, score in selection.scores.items():
        chosen = value == selection.chosen
        table.add_row(
            format_value(value),
            _number(score),
            _number(selection.left[value]),
            _number(selection.right[value]),
            f"{selection.bootstrap[value]:.0%}" if value in selection.bootstrap else "",
            "<- chosen" if chosen else "",
            selection.excluded.get(value, "").replace(END_POINT, "end point"),
            style="bold green" if chosen else None,
        )
    console.print(table)
    console.print(selection.verdict)
    for warning in selection.warnings:
        console.print(f"warning: {warning}")


def print_outcome(outcome: Outcome, checkpoints: Sequence[Path], dashboard: str | None) -> None:
    """The end of a search: the table, the tasks, what was saved, the checkpoints, and how to look at all of it.

    Args:
        dashboard: MLflow's address; None where nothing was tracked.
    """
    console = Console(soft_wrap=True)
    print_selection(outcome.selection, console)
    if outcome.tasks:
        console.print(tasks_table(outcome))
    if outcome.noise is not None:
        console.print(f"noise:      {outcome.noise.differing} of {outcome.noise.asked} answers differ when asked again")
    saved = outcome.saved
    if saved.share > 0:
        console.print(f"saved:      {saved.share:.0%} of the answers ({saved.answers} instead of {saved.of})")
    for checkpoint in checkpoints:
        console.print(f"checkpoint: {checkpoint}")
    if dashboard is not None:
        console.print(f"dashboard:  {dashboard_command(dashboard)}")


def tasks_table(outcome: Outcome) -> Table:
    """Each task's chosen value, the one for all, and how far each is supported."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("task")
    table.add_column(outcome.selection.coefficient, justify="right")
    table.add_column("verdict")
    for name, selection in outcome.selections.items():
        table.add_row(name or "all", value_label(selection.chosen), "; ".join([selection.verdict, *selection.warnings]))
    return table


JUDGED = "donor", "chosen", "oracle", "regret", "rank corr."
"""What stands beside the candidates' accuracies."""


def print_judgements(judgements: Mapping[str, Judgement], coefficient: str, with_methods: bool) -> None:
    """Every task's table, and methods beside each other where there are several tasks or baselines."""
    if not judgements:
        return
    console = Console()
    console.print(judgement_table(judgements))
    if with_methods or len(judgements) > 1:
        console.print(methods_table({(0, task): one for task, one in judgements.items()}, coefficient))


def judgement_table(judgements: Mapping[str, Judgement]) -> Table:
    """Accuracy of every candidate, by task; the chosen one marked with *."""
    first = next(iter(judgements.values()))
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("task", *map(format_value, first.accuracy), *JUDGED):
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


def judgement_markdown(
    judgements: Mapping[tuple[int, str], Judgement],
    trust: Mapping[tuple[int, str], Trust],
    coefficient: str = "alpha",
) -> str:
    """Accuracies by seed and task as Markdown, the chosen one in bold, with the means of the choice beside others.

    Args:
        coefficient: what the candidates are values of; only alpha 0 is the base.
    """
    rows = list(judgements.values())
    header = ["seed", "task", *map(format_value, rows[0].accuracy), *JUDGED, "confidence", "noise"]
    lines = [markdown_row(header), markdown_row(["---"] * len(header))]
    for (seed, task), judgement in judgements.items():
        own = trust[seed, task].cells()
        lines.append(markdown_row([str(seed), task, *_cells(judgement, "**{:.1f}**"), *own]))
    parents = [(base_accuracy(one, coefficient), one.donor) for one in rows]
    chosen = [one.accuracy[one.chosen] for one in rows]
    means = {
        "base": full_mean([base for base, _ in parents]),
        "donor": full_mean([donor for _, donor in parents]),
        "chosen": mean(chosen),
        "oracle": mean(one.accuracy[one.oracle] for one in rows),
    }
    told = [f"Mean accuracy: {', '.join(f'{name} {_percent(value)}' for name, value in means.items())}"]
    told.append(f"mean regret {mean(one.regret for one in rows):.1f}")
    if means["base"] is not None and means["donor"] is not None:
        beyond = sum(
            value > max(base, donor)
            for value, (base, donor) in zip(chosen, parents, strict=True)
            if base is not None and donor is not None
        )
        told.append(f"the chosen {coefficient} beats both parents in {beyond} of {len(rows)}")
    return "\n".join([*lines, "", "; ".join(told) + "."]) + "\n"


def base_accuracy(judgement: Judgement, coefficient: str) -> float | None:
    """The base's own accuracy: the candidate's with alpha 0; None where it was not asked."""
    return judgement.accuracy.get(0.0) if coefficient == "alpha" else None


def methods_markdown(judgements: Mapping[tuple[int, str], Judgement], coefficient: str = "alpha") -> str:
    """The paper's kind of table: methods by tasks (means over the seeds), and the sum."""
    header, *rows = _method_rows(judgements, coefficient)
    return "\n".join(map(markdown_row, [header, ["---"] + ["---:"] * (len(header) - 1), *rows])) + "\n"


def methods_table(judgements: Mapping[tuple[int, str], Judgement], coefficient: str = "alpha") -> Table:
    """Likewise for the terminal."""
    header, *rows = _method_rows(judgements, coefficient)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in header:
        table.add_column(column, justify="left" if column == "method" else "right")
    for row in rows:
        table.add_row(*row)
    return table


def _method_rows(judgements: Mapping[tuple[int, str], Judgement], coefficient: str) -> list[list[str]]:
    """The header, and a row a method."""
    tasks = list(dict.fromkeys(task for _, task in judgements))
    rows = [["method", *tasks, "sum"]]
    for name, cells in methods_by_tasks(judgements, coefficient).items():
        values = [cells.get(task) for task in tasks]
        known = [value for value in values if value is not None]
        rows.append([name, *map(_percent, values), _percent(sum(known) if len(known) == len(tasks) else None)])
    return rows


def methods_by_tasks(
    judgements: Mapping[tuple[int, str], Judgement], coefficient: str = "alpha"
) -> dict[str, dict[str, float]]:
    """Method -> task -> accuracy: both parents, the baselines, AdaMMS, and the best candidate as the labels see it.

    A parent that was not judged is left out.
    """
    columns: dict[str, dict[str, list[float]]] = {}
    for (_, task), judgement in judgements.items():
        column = {"base": base_accuracy(judgement, coefficient), "donor": judgement.donor, **judgement.baselines}
        column |= {"AdaMMS": judgement.accuracy[judgement.chosen], "oracle": judgement.accuracy[judgement.oracle]}
        for name, value in column.items():
            if value is not None:
                columns.setdefault(name, {}).setdefault(task, []).append(value)
    return {name: {task: mean(values) for task, values in cells.items()} for name, cells in columns.items()}


def _cells(judgement: Judgement, mark: str) -> list[str]:
    """The candidates' accuracies, the chosen one's marked, and what `JUDGED` names."""
    correlation = judgement.rank_correlation
    return [
        *(mark.format(a) if value == judgement.chosen else _percent(a) for value, a in judgement.accuracy.items()),
        _percent(judgement.donor),
        format_value(judgement.chosen),
        format_value(judgement.oracle),
        f"{judgement.regret:.1f}",
        "-" if correlation is None else f"{correlation:+.2f}",
    ]


def markdown_row(cells: Sequence[str]) -> str:
    """One line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def dashboard_command(uri: str) -> str:
    """How to open the dashboard of a tracking URI, whose password is not shown."""
    uri = without_password(uri)
    return uri if uri.startswith("http") else f"mlflow ui --backend-store-uri {uri}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def full_mean(values: Sequence[float | None]) -> float | None:
    """The mean; None unless all values are known."""
    known = [value for value in values if value is not None]
    return mean(known) if len(known) == len(values) else None
