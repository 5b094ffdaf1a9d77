"""Answers to labelled prompts, for judging; kept apart from those that a search chooses by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from adamms.engines.engine import EngineSpec
from adamms.errors import UserError
from adamms.judging.config import JudgingSettings
from adamms.mapping import PlannedPair, plan_pair
from adamms.merging.recipe import Recipe
from adamms.prompts.prompt import Prompt
from adamms.runs.responses import Responses
from adamms.runs.run_folder import RunFolder, answer_identity
from adamms.searching.answering import Engines, answer_all
from adamms.searching.coefficient import Line
from adamms.searching.donor import ITSELF, Donor

EVEN = 0.5
"""The donor's weight in baselines that take one: both parents alike, as their authors do."""


def answer_labelled(
    settings: JudgingSettings, pair: PlannedPair, line: Line, alphas: Sequence[float], prompts: Sequence[Prompt]
) -> Responses:
    """Every candidate's answers to the labelled prompts."""
    run = RunFolder(Path(settings.run_dir), answer_identity(pair.plan, line, settings.engine), "judged")
    spec = EngineSpec(pair.plan, settings.engine, settings.mapping.base_architecture)
    book = answer_all(spec, line, alphas, prompts, run, settings.ray)
    return book.responses(alphas, prompts)


def answer_as_donor(
    settings: JudgingSettings, pair: PlannedPair, prompts: Sequence[Prompt], stored: str = "judged-donor"
) -> dict[str, str]:
    """The donor's answers, in its own architecture."""
    with Engines(settings.ray) as engines:
        return Donor(settings, pair, stored).answers(engines, prompts).answers_at(ITSELF)


def answer_as_baselines(
    settings: JudgingSettings, methods: Sequence[str], prompts: Sequence[Prompt]
) -> dict[str, dict[str, str]]:
    """The answers of other merge methods with their own defaults, through the same mapping and engine.

    Raises:
        UserError: an unknown method, or one that needs the ancestor where none is given.
    """
    recipes = {method: Recipe(method, EVEN) for method in methods}
    needing = [method for method, recipe in recipes.items() if recipe.rule.needs_ancestor]
    if needing and not settings.ancestor:
        raise UserError(
            f"baselines: {needing[0]} works on task vectors; give the ancestor of both models: ancestor=..."
        )
    if not recipes:
        return {}
    pair = plan_pair(settings if needing else replace(settings, ancestor=None))
    spec = EngineSpec(pair.plan, settings.engine, settings.mapping.base_architecture)
    answers = {}
    for method, recipe in recipes.items():
        line = Line(recipe)
        run = RunFolder(Path(settings.run_dir), answer_identity(pair.plan, line, settings.engine), f"judged-{method}")
        book = answer_all(spec, line, [EVEN], prompts, run, settings.ray)
        answers[method] = book.answers_at(EVEN)
    return answers
