"""The figures of a report. Another one is a function in a file of its own, and a line in `FIGURES`."""

from __future__ import annotations

from collections.abc import Callable

from adamms.reporting.figures.answers import draw_answers
from adamms.reporting.figures.divergence import draw_divergence
from adamms.reporting.figures.drawing import Drawing
from adamms.reporting.figures.heatmap import draw_heatmap
from adamms.reporting.figures.phases import draw_phases
from adamms.reporting.story import Story, by_value


def draw(story: Story) -> list[Drawing]:
    """The figures of one search that there is data for."""
    return [drawing for figure in FIGURES if (drawing := figure(story)) is not None]


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
    return draw_heatmap(story, "accuracy", "Accuracy on labelled prompts (% right)", found, chosen)


FIGURES: list[Callable[[Story], Drawing | None]] = [
    draw_divergence,
    draw_answers,
    draw_tasks,
    draw_accuracy,
    draw_phases,
]
"""In the order of the report; each gives None where its data is missing."""
