"""Task by candidate, in one picture: where each task's plateau lies."""

from collections.abc import Mapping

from adamms.reporting.figures.drawing import Drawing, new_figure, style
from adamms.reporting.labels import candidate_label, coefficient_label
from adamms.reporting.palette import VERMILION
from adamms.reporting.story import Story, by_value
from adamms.runs.values import format_value

NAME_WIDTH = 40


def draw_tasks(story: Story) -> Drawing | None:
    """The divergence of each candidate for each task, where several were searched; per prompt, so that tasks of
    different sizes can be compared."""
    tasks = story.selection.get("tasks")
    if not tasks:
        return None
    scores: dict[str, dict[float, float | None]] = {name: {} for name in tasks}
    for name, one in tasks.items():
        for value, score in by_value(one["scores"]).items():
            scores[name][value] = None if score is None else score / max(one["prompts"]["used"], 1)
    label = f"{story.metric} per prompt (smaller is better)"
    return draw_heatmap(story, "tasks", label, scores, {name: one["alpha"] for name, one in tasks.items()})


def draw_accuracy(story: Story) -> Drawing | None:
    """The accuracy of each candidate for each task, where several were judged."""
    if len(story.judgements) < 2:
        return None
    found = {name: by_value(one["accuracy"]) for name, one in story.judgements.items()}
    chosen = {name: one["chosen"] for name, one in story.judgements.items()}
    return draw_heatmap(story, "accuracy", "Accuracy on labelled prompts (% correct)", found, chosen)


def draw_heatmap(
    story: Story,
    name: str,
    label: str,
    scores: Mapping[str, Mapping[float, float | None]],
    chosen: Mapping[str, float | None],
) -> Drawing:
    """A row a task, a column a candidate, each task's chosen one framed.

    Args:
        name: of the drawing.
        label: what the scores are.
        scores: task -> value of the coefficient -> score; None where there is none.
        chosen: task -> its chosen value.
    """
    from matplotlib import colormaps
    from matplotlib.colors import Normalize
    from matplotlib.patches import Rectangle

    coefficient = story.coefficient
    values = sorted({value for row in scores.values() for value in row})
    known = [score for row in scores.values() for score in row.values() if score is not None]
    digits = 2 if max(known, default=0) < 10 else 1
    scale = Normalize(min(known, default=0), max(known, default=1))
    colours = colormaps["cividis"]
    with style():
        figure, axis = new_figure(2.5 + 0.85 * len(values), 1.1 + 0.42 * len(scores))
        caption = f"{label}, by task and {coefficient}; the chosen {coefficient} of each task is framed."
        drawing = Drawing(name, caption, figure)
        for row, (task, cells) in enumerate(scores.items()):
            for column, value in enumerate(values):
                score = cells.get(value)
                if score is None:
                    axis.text(column, row, "–", ha="center", va="center")
                    continue
                tip = drawing.tip(f"{task}, {candidate_label(coefficient, value)}: {label} {score:g}")
                axis.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, color=colours(scale(score)), lw=0, gid=tip))
                ink = "#ffffff" if scale(score) < 0.5 else "#000000"
                axis.text(column, row, f"{score:.{digits}f}", ha="center", va="center", color=ink, fontsize=9)
            if (best := chosen.get(task)) is not None:
                place = (values.index(best) - 0.46, row - 0.46)
                axis.add_patch(Rectangle(place, 0.92, 0.92, fill=False, edgecolor=VERMILION, lw=2.5))
        axis.set_title(label)
        axis.set_xlim(-0.5, len(values) - 0.5)
        axis.set_ylim(len(scores) - 0.5, -0.5)
        axis.set_xticks(range(len(values)), list(map(format_value, values)))
        axis.set_yticks(range(len(scores)), [task[:NAME_WIDTH] for task in scores])
        axis.set_xlabel(coefficient_label(coefficient, story.method))
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
    return drawing
