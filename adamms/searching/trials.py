"""Weights that a surrogate proposes, asked one set after the other: where the lines of a search over several donors
begin, in place of a line for each donor alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import mean

from adamms.runs.record import Response
from adamms.runs.values import format_value
from adamms.searching.answering import Answering
from adamms.searching.budget import Budget, BudgetOver
from adamms.searching.candidates import CandidateBook
from adamms.searching.events import Doing, Events
from adamms.searching.preparing import Search
from adamms.searching.surrogate import Surrogate
from adamms.searching.walk import Weights
from adamms.searching.warm_engines import WarmEngines
from adamms.selecting.selection import select

Place = Callable[[Weights], tuple[Search, float]]
"""Weights -> a search that has a place for their answers, and under which value."""


@dataclass
class Trials:
    """Asks what a surrogate proposes.

    Attributes:
        scores: weights -> score, the less the better: by labels where there are some, then by the criterion.
        base: the answers of the first set, which is the base: what collapsed candidates are told by.
        places: where the answers to each are.
        books: of everything that was asked.
    """

    engines: WarmEngines
    budget: Budget
    events: Events
    place: Place
    base: dict[str, str] = field(init=False, default_factory=dict)
    scores: dict[Weights, tuple[float, float]] = field(default_factory=dict)
    places: dict[Weights, tuple[Search, float]] = field(default_factory=dict)
    books: list[CandidateBook] = field(default_factory=list)

    def go(self, surrogate: Surrogate, count: int) -> Weights:
        """Asks so many sets of weights, and gives the best; of equally good ones the first.

        Raises:
            BudgetOver: it was over before the first was answered.
            UserError: the base, which is the first, could not answer.
        """
        for number in range(count):
            trial, weights = surrogate.ask()
            if weights not in self.scores:
                told = ", ".join(map(format_value, weights))
                self.events.say(Doing, what=f"trial {number + 1} of {count}: weights {told}")
                found = self._score(weights)
                if found is None:
                    break
                self.scores[weights] = found
            surrogate.tell(trial, sum(self.scores[weights]))
        if not self.scores:
            raise BudgetOver(f"{self.budget.over}: over before any weights had been tried; the answers are kept")
        return min(self.scores, key=lambda weights: self.scores[weights])

    def _score(self, weights: Weights) -> tuple[float, float] | None:
        """The share of labelled prompts answered wrong (0 without labels), and the criterion's score a prompt; None
        where the budget is over."""
        search, value = self.place(weights)
        asking = Answering(search.study, self.engines, search.prompts, search.answers, self.events, self.budget)
        self.books.append(asking.book)
        if not asking.answer({value: search.prompts}):
            return None
        self.places[weights] = search, value
        if value in asking.book.errors and any(weights):
            return 1.0, 1.0
        answers, wrong = asking.book.answers_at(value), 0.0
        if search.labelled is not None:
            labelled, stored = search.labelled
            beside = Answering(search.study, self.engines, labelled.prompts, stored, self.events, self.budget)
            self.books.append(beside.book)
            if not beside.answer({value: labelled.prompts}):
                return None
            wrong = 1 - mean(labelled.right(beside.book.answers_at(value)))
        own: dict[str, str] = {
            name: answer.as_stored() for name, answer in answers.items() if isinstance(answer, Response)
        }
        if not any(weights):
            self.base = own
        questions = {prompt.id: prompt.text for prompt in search.prompts}
        beside_base = {0.0: self.base, 1.0: own}
        found = select(beside_base, search.rule.criterion, "one_sided", bootstrap=0, prompts=questions)
        score = found.scores[1.0]
        sound = 1.0 not in found.excluded and score is not None
        return wrong, (score or 0.0) / found.prompts_used if sound else 1.0
