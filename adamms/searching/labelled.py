"""Answers to labelled prompts, for judging; kept apart from those that a search chooses by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adamms.config import EvaluateSettings
from adamms.generation.engine import EngineSpec
from adamms.generation.prompts import Prompt
from adamms.mapping import PlannedPair
from adamms.mapping.pair import plan_alone
from adamms.merging.recipe import Recipe
from adamms.searching.alphas import Line
from adamms.searching.answering import answer_all
from adamms.searching.responses import Responses
from adamms.searching.run_folder import RunFolder, answer_identity


def answer_labelled(
    settings: EvaluateSettings, pair: PlannedPair, line: Line, alphas: Sequence[float], prompts: Sequence[Prompt]
) -> Responses:
    """Every candidate's answers to the labelled prompts."""
    run = RunFolder(Path(settings.run_dir), answer_identity(pair.plan, line, settings.engine), "judged")
    spec = EngineSpec(pair.plan, settings.engine, settings.mapping.base_architecture)
    book = answer_all(spec, line, alphas, prompts, run, engine=settings.engine, ray=settings.ray)
    return book.responses(alphas, prompts)


def answer_as_donor(settings: EvaluateSettings, pair: PlannedPair, prompts: Sequence[Prompt]) -> dict[str, str]:
    """The donor's answers, in its own architecture."""
    plan, line = plan_alone(pair.donor), Line(Recipe())
    run = RunFolder(Path(settings.run_dir), answer_identity(plan, line, settings.engine), "judged-donor")
    spec = EngineSpec(plan, settings.engine, settings.mapping.donor_architecture)
    return answer_all(spec, line, [0.0], prompts, run, engine=settings.engine, ray=settings.ray).answers_at(0.0)
