"""Weights that are proposed: what they are scored by."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from adamms.engines.engine import Answer
from adamms.prompts.prompt import Prompt
from adamms.runs.answers import Answers
from adamms.searching.budget import UNLIMITED
from adamms.searching.events import Events
from adamms.searching.trials import Trials
from adamms.searching.walk import Weights
from adamms.selecting.criteria import get_criterion

PROMPTS = [Prompt(f"p{n}", f"What is in picture {n}?") for n in range(20)]
SAID: dict[Weights, tuple[list[str], float]] = {
    (0.0, 0.0): ([f"thing {n}" for n in range(20)], -0.5),
    (0.3, 0.0): (["yes"] * 20, -0.001),
    (0.0, 0.3): ([f"вещь {n}" for n in range(20)], -0.01),
    (0.3, 0.3): ([f"a thing {n}" for n in range(20)], -0.2),
}
"""Weights -> answers, and the log-probability of their tokens."""


class Proposed:
    """In place of a surrogate."""

    def __init__(self) -> None:
        self._left, self.told = list(SAID), list[float]()

    def ask(self) -> tuple[None, Weights]:
        return None, self._left.pop(0)

    def tell(self, trial: None, score: float) -> None:
        self.told.append(score)


def test_collapsed_candidates_are_told_by_the_base(tmp_path: Path) -> None:
    """Which answers yes to everything is surer than any other, and so is which answers in letters of its own."""

    def place(weights: Weights) -> tuple[Any, float]:
        texts, sure = SAID[weights]
        stored = Answers(tmp_path / f"{weights}", {})
        answers = [Answer(p.id, text, (1,), "stop", (sure,)) for p, text in zip(PROMPTS, texts, strict=True)]
        stored.save(0.0, PROMPTS, answers)
        rule = SimpleNamespace(criterion=get_criterion("logprob"))
        search = SimpleNamespace(study=None, prompts=PROMPTS, answers=stored, labelled=None, rule=rule)
        return search, 0.0

    surrogate: Any = Proposed()
    engines: Any = None
    trials = Trials(engines, UNLIMITED, Events((), None), place)  # type: ignore[arg-type]
    assert trials.go(surrogate, len(SAID)) == (0.3, 0.3)
    base, same, foreign, sound = surrogate.told
    assert same == foreign == 1.0
    assert sound < base < 1.0
