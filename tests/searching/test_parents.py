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
from adamms.runs.scored import read_scores, scored_id
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


def scored_by(name: str, folder: Path, *answers: str) -> Answers:
    """What a parent's scores of these answers to the prompt leave."""
    stored = Answers(folder / name, {})
    for number, text in enumerate(answers):
        asked = Prompt(f"p#{number}", PROMPTS[0].text, given=Given(text, ended=True))
        stored.save(ITSELF, [asked], [Answer(asked.id, text, (1,), "stop", (-0.5,))])
    return stored


def test_stored_scores_are_given_also_where_no_engine_can_give_others(tmp_path: Path) -> None:
    """As in a finer round that the donor cannot score: the coarse one keeps the scores that it was chosen by."""
    parents: Any = {name: (SimpleNamespace(), scored_by(name, tmp_path, "a cat")) for name in ("base", "donor")}
    scores = ParentScores(parents, NoEngines(), PROMPTS, Events((), None), missing="the donor is gone")  # type: ignore[arg-type]
    finer = {0.15: {"p": Response("a dog", [-0.1])}}
    scores.score([ANSWERS, finer])
    with pytest.raises(NoScores, match="the donor is gone"):
        scores(finer)
    answer = scores(ANSWERS)[0.1]["p"]
    assert isinstance(answer, Response)
    assert answer.by_parents == (-0.5, -0.5)


def test_prompts_that_ask_a_parent_the_same_each_have_their_score_in_the_folder(tmp_path: Path) -> None:
    """Of two pictures the donor, which is blind, is asked the same; q gives the answer only in a later round."""
    prompts = [Prompt(name, "What is it?", (name.encode(),)) for name in "pq"]
    for parent in ("base", "donor"):
        scored_by(parent, tmp_path / "scored", "a cat")
    later = {0.15: {"q": Response("a cat", [-0.1])}}
    for _ in range(2):  # run again, it adds nothing
        parents: Any = {"donor": (SimpleNamespace(), Answers(tmp_path / "scored" / "donor", {}))}
        scores = ParentScores(parents, NoEngines(), prompts, Events((), None), blind={"donor"})  # type: ignore[arg-type]
        scores.score([ANSWERS, later])
        assert len(rows_below(tmp_path / "scored" / "donor")) == 2
    _, donor = read_scores(tmp_path)
    assert donor == {("p", "a cat", True): -0.5, ("q", "a cat", True): -0.5}


def rows_below(folder: Path) -> list[str]:
    return [line for file in folder.rglob("*.jsonl") for line in file.read_text().splitlines()]


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
