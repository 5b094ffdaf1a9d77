"""The figures of a report. Another one is a function here or in a file of its own, and a line in `FIGURES`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from adamms.reporting.figures import Drawing, draw_answers, draw_divergence, draw_heatmap, draw_phases
from adamms.reporting.report.story import Story, by_value


def draw(story: Story) -> list[Drawing]:
    """The figures of one search that there is data for."""
    return [drawing for figure in FIGURES if (drawing := figure(story)) is not None]


def divergence(story: Story) -> Drawing | None:
    """The score of each candidate, and its accuracy where labels exist."""
    return draw_divergence(story.curve())


def answers(story: Story) -> Drawing | None:
    """What each candidate answers to a few prompts."""
    if not story.telling:
        return None
    return draw_answers([one.answered for one in story.telling], story.values, story.chosen, story.coefficient)


def tasks(story: Story) -> Drawing | None:
    """The divergence of each candidate for each task, where several were searched."""
    found: Mapping[str, Any] = story.selection.get("tasks", {})
    if not found:
        return None
    # per prompt, so that tasks of different sizes can be compared
    scores = {name: _per_prompt(one) for name, one in found.items()}
    chosen = {name: one["alpha"] for name, one in found.items()}
    label = f"{story.selection['metric']} per prompt (smaller is better)"
    return draw_heatmap(scores, chosen, label, story.coefficient, story.method)


def accuracy(story: Story) -> Drawing | None:
    """The accuracy of each candidate for each task, where several were judged."""
    if len(story.judgements) < 2:
        return None
    found = {name: by_value(one["accuracy"]) for name, one in story.judgements.items()}
    chosen = {name: one["chosen"] for name, one in story.judgements.items()}
    label = "Accuracy on labelled prompts (% right)"
    return draw_heatmap(found, chosen, label, story.coefficient, story.method, "accuracy")


def phases(story: Story) -> Drawing | None:
    """Where the time went."""
    return draw_phases(story.seconds) if story.seconds else None


FIGURES: list[Callable[[Story], Drawing | None]] = [divergence, answers, tasks, accuracy, phases]
"""In the order of the report; each gives None where its data is missing."""


def _per_prompt(selection: Mapping[str, Any]) -> dict[float, float | None]:
    prompts = max(selection["prompts"]["used"], 1)
    scores = by_value(selection["scores"]).items()
    return {value: None if score is None else score / prompts for value, score in scores}
