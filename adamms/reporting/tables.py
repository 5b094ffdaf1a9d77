"""Selections and judgements as tables for a terminal, or as Markdown."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from rich.console import Console
from rich.table import Table

from adamms.addresses import mask
from adamms.engines.noise import Noise
from adamms.judging.judgement import Judgement
from adamms.reporting.labels import value_label
from adamms.reporting.story import full_mean
from adamms.runs.values import format_value
from adamms.searching.outcome import Outcome
from adamms.selecting.contest import END_POINT
from adamms.selecting.criteria import get_criterion
from adamms.selecting.selection import Selection

CHANGES = "towards the lower neighbour", "towards the higher neighbour"
"""What the two parts of a score are called."""
JUDGED = "donor", "chosen", "oracle", "regret", "rank corr."
"""What stands beside the candidates' accuracies."""
LEGEND = (
    "accuracy in % of the labelled prompts; * and chosen: what the search chose; oracle: the best candidate as the "
    "labels see it;\nregret: how many points the chosen one stays behind that; rank corr.: Spearman's, of the scores "
    "with the accuracies"
)
"""Below a table of judgements in the terminal."""


def new_table(columns: Iterable[str], left: Collection[str]) -> Table:
    """A table without lines and rows; columns are aligned to the right, but for those in `left`."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, justify="left" if column in left else "right")
    return table


def wide_console() -> Console:
    """The terminal as it is; a file or a log has room for a whole table."""
    console = Console(soft_wrap=True)
    return console if console.is_terminal else Console(soft_wrap=True, width=160)


def print_pairs(lines: Iterable[tuple[str, str]], console: Console | None = None) -> None:
    """`what      text` a line; a line without a title goes on with the one above, one without a text is a heading."""
    console = console or wide_console()
    for title, text in lines:
        console.print(mask(f"{title:15}{text}".rstrip()), style=None if text else "bold", highlight=False, markup=False)


def print_selection(selection: Selection, console: Console | None = None) -> None:
    """A row a candidate: its score and what it is made of, how often it would be chosen; then verdict and warnings."""
    console = console or wide_console()
    numbers = selection.coefficient, get_criterion(selection.criterion).title, *CHANGES, "chosen in resamples"
    words = "", "not chosen because"
    table = new_table([*numbers, *words], words)
    for value, score in selection.scores.items():
        chosen = value == selection.chosen
        table.add_row(
            format_value(value),
            *(
                "-" if number is None else f"{number:g}"
                for number in (score, selection.left[value], selection.right[value])
            ),
            f"{selection.bootstrap[value]:.0%}" if value in selection.bootstrap else "",
            "<- chosen" if chosen else "",
            selection.excluded.get(value, "").replace(END_POINT, "end point"),
            style="bold green" if chosen else None,
        )
    console.print(table)
    console.print(selection.verdict)
    for sentence in selection.worth:
        console.print(f"worth:   {sentence}")
    for warning in selection.warnings:
        console.print(f"warning: {warning}")


def print_outcome(outcome: Outcome, checkpoints: Sequence[Path], dashboard: Sequence[str]) -> None:
    """The end of a search: the table, the tasks, what was saved, the checkpoints, and how to look at all of it.

    Args:
        dashboard: how to look at it in MLflow, a line each; none where nothing was tracked.
    """
    console = wide_console()
    print_selection(outcome.selection, console)
    if outcome.tasks:
        table = new_table(["task", outcome.selection.coefficient, "verdict"], ["task", "verdict"])
        for name, one in outcome.selections.items():
            table.add_row(name or "all", value_label(one.chosen), "; ".join([one.verdict, *one.warnings]))
        console.print(table)
    if outcome.noise is not None:
        console.print(f"noise:      {outcome.noise.differing} of {outcome.noise.asked} answers differ when asked again")
    saved = outcome.saved
    if saved.share > 0:
        console.print(f"saved:      {saved.share:.0%} of the answers ({saved.answers} instead of {saved.of})")
    for checkpoint in checkpoints:
        console.print(f"checkpoint: {checkpoint}")
    for title, line in zip(("dashboard:", "  then open"), dashboard, strict=False):
        console.print(f"{title:11} {mask(line)}", highlight=False)


def print_methods(selection: Mapping[str, Any]) -> None:
    """Of a search over several methods: a row each, and how far the choice among them is supported.

    Args:
        selection: what `selection.json` holds.
    """
    console = wide_console()
    score = get_criterion(selection["metric"]).title
    table = new_table(["method", "", "chosen", score, "wins in resamples", " "], ["method", "", " "])
    for method, one in selection["methods"].items():
        chosen = method == selection["method"]
        wins = "" if one["wins"] is None else f"{one['wins']:.0%}"
        cells = [one["coefficient"], format_value(one["alpha"]), f"{one['score']:g}", wins]
        table.add_row(
            method, *cells, "<- chosen" if chosen else one["excluded"] or "", style="bold green" if chosen else None
        )
    console.print(table)
    console.print(selection["verdict"])
    console.print("")


def print_weights(selection: Mapping[str, Any]) -> None:
    """Of a search over several donors' weights: a row a donor, and a row for each line on the way there.

    Args:
        selection: what `selection.json` holds.
    """
    console, labels = wide_console(), "labels" in selection
    lost = ["points lost without it"] if labels else []
    table = new_table(["donor", "weight", "answers that change without it", *lost], ["donor"])
    for name, weight in selection["weights"].items():
        left = selection["without"].get(name, {})
        changed = left.get("changed")
        cells = [format_value(weight), "" if changed is None else f"{changed:.0%}"]
        table.add_row(name, *cells, *([f"{left['lost']:.1f}" if "lost" in left else ""] if labels else []))
    console.print(table)
    way = new_table(["searched", "with", "chosen", get_criterion(selection["metric"]).title], ["searched", "with"])
    for one in selection["path"]:
        others = ", ".join(f"{name} {format_value(weight)}" for name, weight in one["others"].items())
        chosen = one["alpha"]
        score = None if chosen is None else one["scores"][format_value(chosen)]
        written = "" if chosen is None else format_value(chosen)
        way.add_row(one["donor"], others, written, "" if score is None else f"{score:g}")
    console.print(way)
    console.print(f"{selection['verdict']} ({selection['candidates']} sets of weights were asked)")
    console.print("")


def print_judgements(judgements: Mapping[str, Judgement], with_base: bool, with_methods: bool) -> None:
    """Every task's accuracies, the chosen candidate's marked with *; and methods beside each other where there are
    several tasks or baselines.

    Args:
        with_base: the candidate of 0 is the base itself.
    """
    if not judgements:
        return
    console = wide_console()
    table = new_table(["task", *map(format_value, next(iter(judgements.values())).accuracy), *JUDGED], ["task"])
    for task, judgement in judgements.items():
        table.add_row(task, *_cells(judgement, "{:.1f}*"))
    console.print(table)
    console.print(LEGEND, style="dim", highlight=False)
    if with_methods or len(judgements) > 1:
        console.print(methods_table({(0, task): one for task, one in judgements.items()}, with_base))


@dataclass(frozen=True)
class Trust:
    """What a search says of its own choice: the share of resamples it is chosen in, and the noise floor."""

    confidence: float
    noise: Noise


def judgement_markdown(
    judgements: Mapping[tuple[int, str], Judgement],
    trust: Mapping[tuple[int, str], Trust],
    coefficient: str = "alpha",
    with_base: bool = True,
) -> str:
    """Accuracies by seed and task as Markdown, the chosen one in bold, with the means of the choice beside others.

    Args:
        coefficient: what the candidates are values of.
        with_base: the candidate of 0 is the base itself.
    """
    rows = list(judgements.values())
    table = [["seed", "task", *map(format_value, rows[0].accuracy), *JUDGED, "confidence", "noise"]]
    for (seed, task), judgement in judgements.items():
        own = trust[seed, task]
        told = [f"{100 * own.confidence:.0f} %", f"{own.noise.differing} of {own.noise.asked}"]
        table.append([str(seed), task, *_cells(judgement, "**{:.1f}**"), *told])
    bases = [base_accuracy(one.accuracy, with_base) for one in rows]
    means = {
        "base": full_mean(bases),
        "donor": full_mean([one.donor for one in rows]),
        "chosen": mean(one.accuracy[one.chosen] for one in rows),
        "oracle": mean(one.accuracy[one.oracle] for one in rows),
    }
    text = f"Mean accuracy: {', '.join(f'{name} {_percent(value)}' for name, value in means.items())}"
    text += f"; mean regret {mean(one.regret for one in rows):.1f}"
    beyond = [
        one.accuracy[one.chosen] > max(base, one.donor)
        for one, base in zip(rows, bases, strict=True)
        if base is not None and one.donor is not None
    ]
    if len(beyond) == len(rows):
        text += f"; the chosen {coefficient} beats both parents in {sum(beyond)} of {len(rows)}"
    return f"{_markdown(table)}\n{text}.\n"


def base_accuracy(accuracy: Mapping[float, float], with_base: bool) -> float | None:
    """The base's own accuracy: that of the candidate of 0 where this is the base itself; None where there is none."""
    return accuracy.get(0.0) if with_base else None


def methods_markdown(judgements: Mapping[tuple[int, str], Judgement], with_base: bool = True) -> str:
    """The paper's kind of table: methods by tasks (means over the seeds), and the sum."""
    return _markdown(_method_rows(judgements, with_base), numbers="---:")


def methods_table(judgements: Mapping[tuple[int, str], Judgement], with_base: bool = True) -> Table:
    """Likewise for the terminal."""
    header, *rows = _method_rows(judgements, with_base)
    table = new_table(header, ["method"])
    for row in rows:
        table.add_row(*row)
    return table


def _method_rows(judgements: Mapping[tuple[int, str], Judgement], with_base: bool) -> list[list[str]]:
    """The header, and a row a method."""
    tasks = list(dict.fromkeys(task for _, task in judgements))
    rows = [["method", *tasks, "sum"]]
    for name, cells in methods_by_tasks(judgements, with_base).items():
        total = sum(cells.values()) if len(cells) == len(tasks) else None
        rows.append([name, *(_percent(cells.get(task)) for task in tasks), _percent(total)])
    return rows


def methods_by_tasks(
    judgements: Mapping[tuple[int, str], Judgement], with_base: bool = True
) -> dict[str, dict[str, float]]:
    """Method -> task -> accuracy: both parents, the baselines, AdaMMS, and the best candidate as the labels see it.

    A parent that was not judged is left out.
    """
    columns: dict[str, dict[str, list[float]]] = {}
    for (_, task), one in judgements.items():
        column = {"base": base_accuracy(one.accuracy, with_base), "donor": one.donor, **one.baselines}
        column |= {"AdaMMS": one.accuracy[one.chosen], "oracle": one.accuracy[one.oracle]}
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


def _markdown(rows: Sequence[Sequence[str]], numbers: str = "---") -> str:
    """A table, its header first.

    Args:
        numbers: below the header, how all columns but the first are aligned.
    """
    header, *rest = rows
    return "\n".join(map(markdown_row, [header, ["---", *[numbers] * (len(header) - 1)], *rest])) + "\n"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
