"""Divergence of every candidate: the figure that a choice is made by."""

from typing import Any

from adamms.reporting.figures.drawing import Drawing, new_figure, style
from adamms.reporting.labels import candidate_label, coefficient_label
from adamms.reporting.palette import BLUE, GREEN, INK, ORANGE, VERMILION
from adamms.reporting.story import Story
from adamms.runs.values import format_value

CHOSEN: dict[str, Any] = {"marker": "D", "color": VERMILION, "markersize": 10}


def draw_divergence(story: Story) -> Drawing:
    """Above the divergence, where labels exist the accuracy: two panels over one axis, so that no scale misleads."""
    what = "Each candidate as a score"
    if story.by_neighbours:
        what = "How much each candidate's answers differ from its neighbours'"
    chosen = "nothing" if story.chosen is None else candidate_label(story.coefficient, story.chosen)
    below = " Below, accuracy where labels exist." if story.accuracy else ""
    with style():
        rows = 2 if story.accuracy else 1
        figure, axes = new_figure(8, 3.4 + 2.2 * (rows - 1), nrows=rows, sharex=True, squeeze=False)
        drawing = Drawing("divergence", f"{what} ({story.metric}); chosen: {chosen}.{below}", figure)
        _divergence(axes[0][0], story, drawing)
        if story.accuracy:
            _accuracy(axes[1][0], story, drawing)
        bottom = axes[-1][0]
        bottom.set_xticks(list(story.scores), list(map(format_value, story.scores)))
        bottom.set_xlabel(coefficient_label(story.coefficient, story.method))
        figure.legend(
            *axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=9
        )
    return drawing


def _divergence(axis: Any, story: Story, drawing: Drawing) -> None:
    scores = {value: score for value, score in story.scores.items() if score is not None}
    what = f"{story.criterion.title}, smaller is better"
    axis.set_title(f"{what[0].upper()}{what[1:]} ({story.selection['prompts']['used']} prompts)")
    axis.grid(visible=True, axis="y")
    banded = [value for value in scores if value in story.intervals]
    if banded:
        low, high = zip(*(story.intervals[value] for value in banded), strict=True)
        axis.fill_between(banded, low, high, color=BLUE, alpha=0.18, linewidth=0, label="95 % of resampled prompt sets")
    label = "divergence" if story.by_neighbours else "score"
    axis.plot(list(scores), list(scores.values()), color=BLUE, linewidth=2, label=label)
    if story.noise_floor is not None:
        label = f"noise floor (same {story.coefficient} twice): {story.noise_floor:.3g}"
        axis.axhline(
            story.noise_floor, color=ORANGE, linestyle=(0, (4, 3)), linewidth=2, label=label, zorder=2.6, clip_on=False
        )  # above the axis, on which it mostly lies
    told = set[str]()
    for value, score in scores.items():
        mark: dict[str, Any] = {"marker": "o", "color": BLUE, "markersize": 6}
        if value in story.left_out:
            label, mark = _left_out(story.left_out[value])
            mark |= {} if label in told else {"label": label}
            told.add(label)
        elif value == story.chosen:
            mark = CHOSEN | {"label": f"chosen: {format_value(value)}"}
        axis.plot([value], [score], linestyle="", zorder=3, gid=drawing.tip(_tip(story, value, score)), **mark)
    if story.by_neighbours:  # only there does 0 mean something: nothing changes
        axis.set_ylim(bottom=0)
    axis.margins(x=0.03)
    axis.set_xlim(min(story.scores) - 0.02, max(story.scores) + 0.02)
    axis.set_ylabel(story.criterion.words or story.metric)


def _left_out(why: str) -> tuple[str, dict[str, Any]]:
    """What the legend says of a candidate that cannot be chosen, and its mark."""
    if why.startswith("labels:"):
        return "behind by the labels", {"marker": "o", "color": BLUE, "markerfacecolor": "none", "markersize": 7}
    return "degenerate: cannot be chosen", {"marker": "X", "color": INK, "markersize": 9}


def _accuracy(axis: Any, story: Story, drawing: Drawing) -> None:
    mean = f", mean of {len(story.judgements)} tasks" if len(story.judgements) > 1 else ""
    axis.set_title(f"Accuracy on the labelled prompts of adamms evaluate{mean}")
    axis.grid(visible=True, axis="y")
    axis.plot(list(story.accuracy), list(story.accuracy.values()), color=GREEN, linewidth=2)
    best = max(story.accuracy.values())
    for value, accuracy in story.accuracy.items():
        candidate = candidate_label(story.coefficient, value)
        tip = drawing.tip(f"{candidate}: {accuracy:.1f} % correct ({accuracy - best:+.1f} from the best)")
        mark = CHOSEN if value == story.chosen else {"marker": "o", "color": GREEN, "markersize": 6}
        axis.plot([value], [accuracy], linestyle="", zorder=3, gid=tip, **mark)
    if story.donor_accuracy is not None:
        axis.axhline(story.donor_accuracy, color=INK, linestyle=":", linewidth=1.2)
        axis.annotate(
            "donor alone", (1, story.donor_accuracy), xycoords=("axes fraction", "data"), xytext=(-2, 3),
            textcoords="offset points", fontsize=9, ha="right",
        )  # fmt: skip
    axis.set_ylabel("% correct")


def _tip(story: Story, value: float, score: float) -> str:
    lines = [f"{candidate_label(story.coefficient, value)}: {story.criterion.words or story.metric} {score:g}"]
    if value in story.intervals:
        lines.append("95 % of resampled prompt sets: {:.1f} to {:.1f}".format(*story.intervals[value]))
    if value in story.left_out:
        lines.append(f"not chosen: {story.left_out[value]}")
    if value == story.chosen:
        lines.append("chosen")
    return "\n".join(lines)
