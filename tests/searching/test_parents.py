"""What base and donor hold of answers: when they are not asked any more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from adamms.engines.engine import Answer
from adamms.prompts.prompt import Given, Prompt
from adamms.runs.answers import Answers
from adamms.runs.record import Response
from adamms.runs.scored import scored_id
from adamms.searching.answering import Answering
from adamms.searching.budget import Budget, Usage
from adamms.searching.config import BudgetConfig
from adamms.searching.events import Events
from adamms.searching.goal import NoScores
from adamms.searching.parents import ParentScores
from adamms.searching.study import ITSELF

PROMPTS = [Prompt("p", "What is it?")]
ANSWERS = {0.1: {"p": Response("a cat", [-0.1])}}


class NoEngines:
    """In place of `WarmEngines`, where none may be asked."""

    def serve(self, *_: Any) -> None:
        raise AssertionError("nobody asks for engines")


def test_parents_are_not_asked_once_the_budget_is_over(tmp_path: Path) -> None:
    over = Budget(BudgetConfig(hours=1), Usage(iter([0.0, *[3500.0] * 9]).__next__))
    parents: Any = {name: (SimpleNamespace(), Answers(tmp_path / name, {})) for name in ("base", "donor")}
    scores = ParentScores(parents, NoEngines(), PROMPTS, Events((), None), over)  # type: ignore[arg-type]
    scores.score([ANSWERS])
    with pytest.raises(NoScores, match=r"budget\.hours=1 was over before the base had scored all answers"):
        scores(ANSWERS)


def test_an_engine_without_log_probabilities_gives_no_scores(tmp_path: Path) -> None:
    base, donor = (Answers(tmp_path / name, {}) for name in ("base", "donor"))
    given = replace(PROMPTS[0], id=scored_id("p", 0), given=Given("a cat", ended=True))
    base.save(ITSELF, [given], [Answer(given.id, "a cat", (1,), "stop", (-0.1,))])
    donor.save(ITSELF, [given], [Answer(given.id, "a cat", (1,), "stop")])
    parents: Any = {name: (SimpleNamespace(run=None), one) for name, one in {"base": base, "donor": donor}.items()}
    scores = ParentScores(parents, NoEngines(), PROMPTS, Events((), None))  # type: ignore[arg-type]
    with pytest.raises(NoScores, match=r"the donor cannot score answers \(its engine gives no log-probabilities\)"):
        scores(ANSWERS)


def test_noise_is_measured_at_the_candidate_s_own_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others, a parent or another method, may have had the engines since it was asked."""
    served: list[str] = []
    engines: Any = SimpleNamespace(
        serve=lambda spec, tell: served.append(spec), pool=None, config=SimpleNamespace(block_size=1)
    )
    study: Any = SimpleNamespace(engine="its own", coefficient=SimpleNamespace(candidate=lambda value: value))
    monkeypatch.setattr("adamms.searching.answering.noise_floor", lambda *_: list(served))
    asking = Answering(study, engines, PROMPTS, Answers(tmp_path, {}), Events((), None))  # type: ignore[arg-type]
    assert asking.noise(0.3, PROMPTS) is None, "no engine was needed"
    asking._asked = True
    assert asking.noise(0.3, PROMPTS) == ["its own"]
