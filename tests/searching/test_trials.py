"""Weights that are proposed: what they are scored by."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from adamms.engines.engine import Answer
from adamms.errors import UserError
from adamms.prompts.prompt import Prompt
from adamms.runs.answers import Answers
from adamms.searching.answering import Answering
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
    surrogate: Any = Proposed()
    assert trials_in(tmp_path).go(surrogate, len(SAID)) == (0.3, 0.3)
    base, same, foreign, sound = surrogate.told
    assert same == foreign == 1.0
    assert sound < base < 1.0


def test_without_the_base_s_answers_nothing_tells_what_has_collapsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(asking: Answering, work: Any) -> bool:
        asking.book.errors[0.0] = "its process died"
        return True

    monkeypatch.setattr(Answering, "answer", failing)
    surrogate: Any = Proposed()
    with pytest.raises(UserError, match=r"candidate 0\.0: its process died"):
        trials_in(tmp_path).go(surrogate, len(SAID))


def trials_in(folder: Path) -> Trials:
    """Trials whose answers are all stored."""

    def place(weights: Weights) -> tuple[Any, float]:
        texts, sure = SAID[weights]
        stored = Answers(folder / f"{weights}", {})
        answers = [Answer(p.id, text, (1,), "stop", (sure,)) for p, text in zip(PROMPTS, texts, strict=True)]
        stored.save(0.0, PROMPTS, answers)
        rule = SimpleNamespace(criterion=get_criterion("logprob"))
        search = SimpleNamespace(study=None, prompts=PROMPTS, answers=stored, labelled=None, rule=rule)
        return search, 0.0

    engines: Any = None
    return Trials(engines, UNLIMITED, Events((), None), place)  # type: ignore[arg-type]
