"""Divergence of every candidate: the figure that a choice is made by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from adamms.reporting.figures.drawing import Drawing, new_figure, style
from adamms.reporting.labels import candidate_label, coefficient_label
from adamms.reporting.palette import BLUE, GREEN, INK, ORANGE, VERMILION
from adamms.runs.values import format_value


@dataclass(frozen=True)
class Curve:
    """What there is to see.

    Attributes:
        metric: the criterion that the scores were made by.
        scores: value of the coefficient -> divergence; None where there is none.
        chosen: the chosen value; None where nothing was chosen.
        prompts: how many prompts the scores are sums over.
        coefficient, method: what the values are values of, and the merging method that has it.
        band: value -> the 95 % interval of its divergence when prompts are resampled.
        excluded: value -> why it could not be chosen, for those that are degenerate.
        noise_floor: the divergence between two runs of one candidate.
        accuracy: value -> percentage of labelled prompts answered right; the mean of the tasks where there are several.
        donor_accuracy: the donor's own.
        judged_tasks: how many tasks' mean the accuracies are.
        by_neighbours: the scores are made of differences between neighbours; some criteria's are not.
    """

    metric: str
    scores: Mapping[float, float | None]
    chosen: float | None
    prompts: int
    band: Mapping[float, tuple[float, float]] = field(default_factory=dict)
    excluded: Mapping[float, str] = field(default_factory=dict)
    noise_floor: float | None = None
    accuracy: Mapping[float, float] = field(default_factory=dict)
    donor_accuracy: float | None = None
    judged_tasks: int = 1
    by_neighbours: bool = True
    coefficient: str = "alpha"
    method: str = ""


def draw_divergence(curve: Curve) -> Drawing:
    """Above the divergence, where labels exist the accuracy: two panels over one axis, so that no scale misleads."""
    with style():
        rows = 2 if curve.accuracy else 1
        figure, axes = new_figure(8, 3.4 + 2.2 * (rows - 1), nrows=rows, sharex=True, squeeze=False)
        drawing = Drawing("divergence", _caption(curve), figure)
        _divergence(axes[0][0], curve, drawing)
        if curve.accuracy:
            _accuracy(axes[1][0], curve, drawing)
        bottom = axes[-1][0]
        values = sorted(curve.scores)
        bottom.set_xticks(values, list(map(format_value, values)))
        bottom.set_xlabel(coefficient_label(curve.coefficient, curve.method))
        figure.legend(
            *axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=9
        )
    return drawing


def _divergence(axis: Any, curve: Curve, drawing: Drawing) -> None:
    values = sorted(value for value, score in curve.scores.items() if score is not None)
    scores = {value: float(curve.scores[value] or 0) for value in values}
    what = "Divergence from the neighbours" if curve.by_neighbours else "Score of each candidate, smaller is better"
    axis.set_title(f"{what} ({curve.metric}, {curve.prompts} prompts)")
    axis.grid(visible=True, axis="y")
    banded = [value for value in values if value in curve.band]
    if banded:
        low, high = zip(*(curve.band[value] for value in banded), strict=True)
        axis.fill_between(banded, low, high, color=BLUE, alpha=0.18, linewidth=0, label="95 % of resampled prompt sets")
    axis.plot(
        values, list(scores.values()), color=BLUE, linewidth=2, label="divergence" if curve.by_neighbours else "score"
    )
    if curve.noise_floor is not None:
        label = f"noise floor (same {curve.coefficient} twice): {curve.noise_floor:.3g}"
        axis.axhline(
            curve.noise_floor, color=ORANGE, linestyle=(0, (4, 3)), linewidth=2, label=label, zorder=2.6, clip_on=False
        )  # above the axis, on which it mostly lies
    first_ill = next((value for value in scores if value in curve.excluded), None)
    for value, score in scores.items():
        chosen, ill = value == curve.chosen, value in curve.excluded
        mark: dict[str, Any] = {"marker": "o", "color": BLUE, "markersize": 6}
        if ill:
            mark = {"marker": "X", "color": INK, "markersize": 9}
            mark |= {"label": "degenerate: cannot be chosen"} if value == first_ill else {}
        elif chosen:
            mark = {"marker": "D", "color": VERMILION, "markersize": 10, "label": f"chosen: {format_value(value)}"}
        axis.plot([value], [score], linestyle="", zorder=3, gid=drawing.tip(_tip(curve, value, score)), **mark)
    axis.set_ylim(bottom=0)
    axis.margins(x=0.03)
    axis.set_xlim(min(curve.scores) - 0.02, max(curve.scores) + 0.02)
    axis.set_ylabel(f"{curve.metric}")


def _accuracy(axis: Any, curve: Curve, drawing: Drawing) -> None:
    mean = f", mean of {curve.judged_tasks} tasks" if curve.judged_tasks > 1 else ""
    axis.set_title(f"Accuracy on labelled prompts (never seen by the search{mean})")
    axis.grid(visible=True, axis="y")
    values = sorted(curve.accuracy)
    axis.plot(values, [curve.accuracy[value] for value in values], color=GREEN, linewidth=2)
    best = max(curve.accuracy.values())
    for value in values:
        accuracy, candidate = curve.accuracy[value], candidate_label(curve.coefficient, value)
        tip = drawing.tip(f"{candidate}: {accuracy:.1f} % right ({accuracy - best:+.1f} from the best)")
        mark: dict[str, Any] = {"marker": "o", "color": GREEN, "markersize": 6}
        if value == curve.chosen:
            mark = {"marker": "D", "color": VERMILION, "markersize": 10}
        axis.plot([value], [accuracy], linestyle="", zorder=3, gid=tip, **mark)
    if curve.donor_accuracy is not None:
        axis.axhline(curve.donor_accuracy, color=INK, linestyle=":", linewidth=1.2)
        axis.annotate(
            "donor alone", (1, curve.donor_accuracy), xycoords=("axes fraction", "data"), xytext=(-2, 3),
            textcoords="offset points", fontsize=9, ha="right",
        )  # fmt: skip
    axis.set_ylabel("% right")


def _tip(curve: Curve, value: float, score: float) -> str:
    lines = [f"{candidate_label(curve.coefficient, value)}: {curve.metric} {score:g}"]
    if value in curve.band:
        lines.append("95 % of resampled prompt sets: {:.1f} to {:.1f}".format(*curve.band[value]))
    if value in curve.excluded:
        lines.append(f"not chosen: {curve.excluded[value]}")
    if value == curve.chosen:
        lines.append("chosen")
    return "\n".join(lines)


def _caption(curve: Curve) -> str:
    chosen = "nothing" if curve.chosen is None else candidate_label(curve.coefficient, curve.chosen)
    what = (
        "How much each candidate's answers differ from its neighbours'"
        if curve.by_neighbours
        else "Each candidate as a score"
    )
    text = f"{what} ({curve.metric}); chosen: {chosen}."
    return text + (" Below, accuracy where labels exist." if curve.accuracy else "")
