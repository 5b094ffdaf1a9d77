"""One choice to be made: for a task, or for all of them. It knows which answers it wants next, and when it has enough.

A goal begins with the candidates of `searching.alphas` and a block of prompts, asks for block after block until it may
stop, and goes on to the finer candidates around the best one (`searching.refine`), reusing every answer. All that it
does follows from the answers, so a search that is run again takes the same way.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from adamms.errors import UserError
from adamms.prompts.prompt import Prompt
from adamms.prompts.tasks import all_prompts
from adamms.runs.responses import Responses
from adamms.searching.budget import BudgetOver
from adamms.searching.candidates import CandidateBook, Work
from adamms.searching.coefficient import beyond, check_refine, finer
from adamms.searching.config import SearchingConfig
from adamms.selecting.criteria import PAPER, Criterion, get_criterion, without_scores
from adamms.selecting.divergence import check_endpoints, endpoints_of, fewest_of
from adamms.selecting.labels import Marks
from adamms.selecting.selection import Selection, select
from adamms.selecting.stopping import confidence


class NoScores(Exception):
    """The candidates' answers cannot be scored by both parents; says why, in words."""


@dataclass(frozen=True)
class ChoiceRule:
    """How a choice is made, and when it is made early: `SearchingConfig`, checked."""

    criterion: Criterion
    config: SearchingConfig
    limits: tuple[float, float] = (0.0, 1.0)
    """The smallest and the largest value that candidates may have."""
    with_base: bool = True
    """The candidate of 0 is the base itself."""
    in_blocks: bool = False
    """Ask block by block although `searching.stop` is never, so that there is a choice whenever a budget is over."""
    parents: tuple[Mapping[str, str], ...] = ()
    """The donor's own answers, where the criterion asks for them."""
    marks: Callable[[Sequence[float]], Marks] = field(default=lambda values: {})
    """Which labelled prompts these candidates answer right; nothing without labels."""
    score: Callable[[Responses], Responses] = field(default=lambda responses: responses)
    """Adds what base and donor hold of the answers, where the criterion asks for it; raises NoScores."""
    notes: tuple[str, ...] = ()
    """Warnings that go with every choice by those."""

    @classmethod
    def of(
        cls,
        config: SearchingConfig,
        values: Sequence[float],
        in_blocks: bool = False,
        limits: tuple[float, float] = (0.0, 1.0),
        with_base: bool = True,
    ) -> Self:
        """The rule for candidates that begin with these.

        Raises:
            UserError: an unknown criterion, or a number out of range.
        """
        criterion = get_criterion(config.metric)
        check_endpoints(len(values), endpoints_of(criterion, config.endpoints, labels=bool(config.labels)))
        if criterion.asks_scores and config.stop != "never":
            raise UserError(
                f"searching.stop={config.stop}: {criterion.name} can only choose once all is answered, since the donor "
                "scores the answers in an engine of its own; set searching.stop=never, or another searching.metric"
            )
        check_refine(values, config.refine)
        if config.block < 1:
            raise UserError(f"searching.block={config.block}: expected at least 1")
        if config.noise < 0:
            raise UserError(f"searching.noise={config.noise}: expected 0 or more prompts")
        if not 0 < config.confidence <= 1:
            raise UserError(f"searching.confidence={config.confidence}: expected more than 0, at most 1")
        return cls(criterion, config, limits, with_base, in_blocks or config.stop != "never")

    def choose(
        self,
        responses: Responses,
        questions: Mapping[str, str],
        contradicted: int = 0,
        failed: Mapping[float, str] | None = None,
    ) -> Selection:
        """The selection from all prompts that were answered.

        Args:
            contradicted: on how many base and donor contradict each other among other candidates.
            failed: candidates that could not answer -> why.
        """
        name, ends, parents = self.config.coefficient, self.config.endpoints, self.parents
        marks = self.marks(list(responses))  # before the donor takes the engines
        responses, criterion, told = self._judged(responses)
        if self.config.labels and not marks:
            told = ("the labels are not used: the budget was over before every candidate had answered them", *told)
        found = select(
            responses,
            criterion,
            ends,
            coefficient=name,
            with_base=self.with_base,
            prompts=questions,
            parents=parents,
            marks=marks,
            contradicted=contradicted,
            failed=failed,
        )
        return replace(found, warnings=(*found.warnings, *told))

    def can_score(self, responses: Responses) -> bool:
        """Whether the answers bring what the criterion needs of their engine."""
        every = (answer for answered in responses.values() for answer in answered.values())
        return not self.criterion.asks_logprobs or all(getattr(one, "logprobs", None) is not None for one in every)

    def scored(self, responses: Responses) -> Responses:
        """With what base and donor hold of them, where that is known."""
        return self._judged(responses)[0]

    def _judged(self, responses: Responses) -> tuple[Responses, Criterion, tuple[str, ...]]:
        """The answers with what base and donor hold of them, what to choose by, and warnings: where that is not what
        was asked for, why."""
        if not self.can_score(responses):
            instead, why = get_criterion(PAPER), "the engine gives no log-probabilities"
        else:
            try:
                return self.score(responses), self.criterion, self.notes
            except NoScores as missing:
                instead, why = without_scores(self.criterion), str(missing)
        return responses, instead, (f"{why}, so the choice is by {instead.name} instead of {self.criterion.name}",)

    def is_enough(self, responses: Responses, remaining: int, questions: Mapping[str, str]) -> bool:
        """Whether the remaining prompts need not be answered."""
        if self.config.stop != "confident":
            return False
        ends, parents = self.config.endpoints, self.parents
        marks = self.marks(list(responses))
        sure = confidence(responses, remaining, self.criterion, ends, prompts=questions, parents=parents, marks=marks)
        return sure >= self.config.confidence


@dataclass(frozen=True)
class Round:
    """One grid of candidates, and what was chosen from it."""

    values: tuple[float, ...]
    prompts: int
    selection: Selection

    def to_json(self) -> dict[str, Any]:
        return {"alphas": list(self.values), "prompts": self.prompts, "alpha": self.selection.chosen}


class Goal:
    """See the module.

    Args:
        prompts: in the order in which they are asked.
        block: after how many prompts it may stop.

    Attributes:
        parents: as the rule has them.
    """

    def __init__(
        self, prompts: Sequence[Prompt], values: Sequence[float], rule: ChoiceRule, block: int | None = None
    ) -> None:
        self.prompts, self.parents, self._rule = list(prompts), rule.parents, rule
        self._questions = {prompt.id: prompt.text for prompt in prompts}
        self._block = (block or rule.config.block) if rule.in_blocks else len(prompts)
        self._values, self._finer = list(values), list(rule.config.refine)
        self._steps = len(values) if rule.config.extend else 0  # that it may go beyond them
        self._asked = min(self._block, len(prompts))
        self.rounds: list[Round] = []
        self.done = False

    @property
    def selection(self) -> Selection:
        """The final one."""
        return self.rounds[-1].selection

    @property
    def chooses_next(self) -> bool:
        """Whether it chooses once it has the answers that it wants, however they are: there are no more prompts."""
        return self._asked == len(self.prompts)

    def wants(self) -> Work:
        """The answers to go on with, whether they are stored or not; nothing when the goal is reached."""
        asked = self.prompts[: self._asked]
        return {} if self.done else {value: list(asked) for value in self._values}

    def reviewed(self, book: CandidateBook) -> Iterator[tuple[Responses, Round]]:
        """Every round with the answers it was decided by."""
        for one in self.rounds:
            yield self._rule.scored(book.responses(one.values, self.prompts[: one.prompts])), one

    def consider(self, book: CandidateBook) -> None:
        """Takes note of the answers it wanted."""
        if self.done:
            return
        responses = book.responses(self._values, self.prompts[: self._asked])
        remaining = len(self.prompts) - self._asked
        if remaining and not self._rule.is_enough(responses, remaining, self._questions):
            self._asked = min(self._asked + self._block, len(self.prompts))
            return
        selection = self._choose(responses, book)
        self.rounds.append(Round(tuple(self._values), self._asked, selection))
        further = beyond(self._values, selection.chosen, self._rule.limits) if self._steps else None
        if further is not None:
            self._steps -= 1
            self._values = sorted([*self._values, further])
            self._asked = min(self._block, len(self.prompts))
        elif around := self._around(selection):
            self._values = around
            self._asked = min(self._block, len(self.prompts))
        else:
            self.done = True

    def _around(self, selection: Selection) -> list[float]:
        """The candidates of the next finer step that has as many as the criterion needs; none where no step is left."""
        fewest = fewest_of(endpoints_of(get_criterion(selection.criterion), self._rule.config.endpoints))
        while self._finer and selection.chosen is not None:
            found = finer(self._values, selection.chosen, self._finer.pop(0))
            if len(found) >= fewest:
                return found
        return []

    def _choose(self, responses: Responses, book: CandidateBook) -> Selection:
        """What earlier rounds have found of base and donor, and which candidates failed, holds for a finer one, too."""
        wanted = sorted({*self._values, *(value for one in self.rounds for value in one.values)})
        failed = {value: book.errors[value] for value in wanted if value in book.errors}
        contradicted = max((one.selection.contradicted for one in self.rounds), default=0)
        return self._rule.choose(responses, self._questions, contradicted, failed)

    def settle(self, book: CandidateBook, reason: str) -> None:
        """Has to stop: takes the choice of the prompts that every candidate has answered, unless an earlier round has
        chosen by more.

        Raises:
            BudgetOver: there are none.
        """
        if self.done:
            return
        self.done = True
        asked = self._answered_by_all(book)
        warning = f"stopped by {reason} after {asked} of {len(self.prompts)} prompts"
        if asked and (not self.rounds or asked >= self.rounds[-1].prompts):
            responses = book.responses(self._values, self.prompts[:asked])
            self.rounds.append(Round(tuple(self._values), asked, self._choose(responses, book)))
        elif not self.rounds:
            raise BudgetOver(
                f"{reason}: over before every candidate had answered a first block of prompts; the answers are kept: "
                "run it again, with a larger budget or a smaller searching.block"
            )
        else:
            warning = f"stopped by {reason} before finer or further candidates had answered as many prompts"
        last = self.rounds[-1]
        selection = replace(last.selection, warnings=(*last.selection.warnings, warning))
        self.rounds[-1] = replace(last, selection=selection)

    def _answered_by_all(self, book: CandidateBook) -> int:
        """How many prompts, from the first, every candidate that did not fail has answered."""
        asked = self.prompts[: self._asked]
        answers = [book.answers_at(value, asked) for value in self._values if value not in book.errors]
        missing = (i for i, prompt in enumerate(asked) if not all(prompt.id in given for given in answers))
        return next(missing, len(asked)) if answers else 0


def goals_of(
    tasks: Mapping[str, list[Prompt]], values: Sequence[float], rule: ChoiceRule, seed: int = 0
) -> dict[str, Goal]:
    """The goal of every task, and under the name "" the one for all prompts together.

    Prompts are asked in a drawn order; the goal for all asks them in turn from every task, so that its blocks consist
    of the tasks' own.
    """
    goals = {"": Goal(in_turn(tasks, seed), values, rule, rule.config.block * len(tasks))}
    if len(tasks) > 1:
        goals |= {name: Goal(_drawn(prompts, seed), values, rule) for name, prompts in tasks.items()}
    return goals


def in_turn(tasks: Mapping[str, list[Prompt]], seed: int) -> list[Prompt]:
    """All prompts in the order in which they are asked: one of each task after the other."""
    drawn = {name: _drawn(prompts, seed) for name, prompts in tasks.items()}
    places = {prompt.id: place for prompts in drawn.values() for place, prompt in enumerate(prompts)}
    return sorted(all_prompts(drawn), key=lambda prompt: places[prompt.id])


def united(works: Sequence[Work]) -> Work:
    """All that several goals want, each answer once."""
    found: dict[float, dict[str, Prompt]] = {}
    for work in works:
        for value, prompts in work.items():
            found.setdefault(value, {}).update({prompt.id: prompt for prompt in prompts})
    return {value: list(found[value].values()) for value in sorted(found)}


def answers_without_saving(values: Sequence[float], refine: Sequence[float], prompts: int) -> int:
    """What it would take to ask every prompt of the finest candidates over the whole range."""
    if not refine:
        return len(values) * prompts
    span = max(values) - min(values)
    return (int(span / refine[-1] + 1e-6) + 1) * prompts


def _drawn(prompts: Sequence[Prompt], seed: int) -> list[Prompt]:
    order = list(prompts)
    random.Random(seed).shuffle(order)
    return order
