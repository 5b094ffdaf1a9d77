"""A search without models: candidates answer from a table, through the real store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from adamms.engines.actor import UnitResult
from adamms.engines.engine import Answer
from adamms.merging.candidate import Candidate
from adamms.merging.recipe import Recipe
from adamms.prompts.prompt import Prompt
from adamms.runs.answers import Answers
from adamms.searching.candidates import CandidateBook
from adamms.searching.goal import Goal, united

Told = Callable[[float, Prompt], str]


class Simulated:
    """Stands in for `Answering`; counts what it was asked to answer anew."""

    def __init__(self, folder: Path, prompts: Sequence[Prompt], told: Told, fails: Sequence[float] = ()) -> None:
        self.book = CandidateBook(Answers(folder / "responses", {}), prompts)
        self._told, self._fails = told, fails
        self.asked: list[tuple[float, str]] = []

    def answer(self, work: Mapping[float, Sequence[Prompt]]) -> None:
        for alpha, prompts in self.book.missing(work).items():
            self.asked += [(alpha, prompt.id) for prompt in prompts]
            candidate = Candidate(alpha, Recipe(alpha=alpha))
            if alpha in self._fails:
                self.book.add(UnitResult(candidate, error="it broke"))
                continue
            answers = tuple(Answer(prompt.id, self._told(alpha, prompt), (1,), "stop", (-0.1,)) for prompt in prompts)
            self.book.add(UnitResult(candidate, answers))

    def reach(self, goals: Mapping[str, Goal]) -> None:
        while work := united([goal.wants() for goal in goals.values()]):
            self.answer(work)
            for goal in goals.values():
                goal.consider(self.book)


def drifting(best: float, seed: int = 0) -> Told:
    """Answers that change with alpha, the more slowly the nearer to `best`."""
    import random

    def told(alpha: float, prompt: Prompt) -> str:
        dice = random.Random(f"{seed} {prompt.digest}")
        distance = alpha - best
        warped = (1 if distance >= 0 else -1) * distance**2 * 4 + dice.random() * 0.5
        return f"answer {prompt.text} {int(warped // 0.5)}"

    return told
