"""A search under way: one coefficient of one method, what is asked along it next, and what is made of the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial

from adamms.engines.noise import Noise
from adamms.prompts.labels import Labelled
from adamms.runs.responses import Responses
from adamms.runs.run_folder import RunFolder
from adamms.searching.answering import Answering, answer_as_donor
from adamms.searching.budget import Budget
from adamms.searching.candidates import CandidateBook
from adamms.searching.events import Doing, Events, Selected
from adamms.searching.goal import Goal, answers_without_saving, goals_of, in_turn, united
from adamms.searching.outcome import Outcome, Saved
from adamms.searching.parents import ParentScores
from adamms.searching.preparing import Search
from adamms.searching.scores import candidate_scores
from adamms.searching.study import ITSELF
from adamms.searching.warm_engines import WarmEngines
from adamms.selecting.labels import Marks

ENGINES = "starting engines"


class Line:
    """Asks what a search wants, and chooses when all is there.

    Where the criterion looks at the donors' own answers, these answer first.

    Args:
        scores: what lets base and donor score answers, where the criterion asks for that; lines may share it.

    Attributes:
        books: of everything that was asked for this search.
    """

    def __init__(
        self, search: Search, engines: WarmEngines, budget: Budget, events: Events, scores: ParentScores | None = None
    ) -> None:
        study, rule = search.study, search.rule
        self.search, self.scores, self._events = search, scores, events
        self.books: list[CandidateBook] = []
        for donor, stored in search.donors:
            book = answer_as_donor(donor, stored, engines, search.prompts, events, budget)
            rule = replace(rule, parents=(*rule.parents, book.answers_at(ITSELF)))
            self.books.append(book)
        self._answering = Answering(study, engines, search.prompts, search.answers, events, budget, search.run)
        self.books.append(self._answering.book)
        self._labelled: Answering | None = None
        if search.labelled is not None:
            labelled, stored = search.labelled
            self._labelled = Answering(study, engines, labelled.prompts, stored, events, budget)
            rule = replace(rule, marks=partial(marks_of, labelled, self._labelled))
            self.books.append(self._labelled.book)
        if scores is not None:
            rule = replace(rule, score=scores, notes=scores.notes)
        self.rule = rule
        self._goals = goals_of(search.tasks, search.values, rule, study.settings.prompts.seed)
        self._complete = True

    @property
    def _all(self) -> Goal:
        """The choice for all prompts together."""
        return self._goals[""]

    def ask(self) -> bool:
        """Has candidates answer what is wanted next, labelled prompts included.

        Returns:
            Whether anything was wanted: False once every choice is made.
        """
        work = united([goal.wants() for goal in self._goals.values()])
        if not work:
            return False
        self._complete = self._answering.answer(work)
        if self._labelled is not None and self._complete and self.search.labelled is not None:
            self._labelled.answer(dict.fromkeys(work, self.search.labelled[0].prompts))
        return True

    def to_score(self) -> list[Responses]:
        """The answers that the choices ahead are made by; none where more prompts are asked first."""
        ahead = [goal for goal in self._goals.values() if not goal.done]
        if self.scores is None or not self._complete or not all(goal.chooses_next for goal in ahead):
            return []
        book = self._answering.book
        works = [goal.wants() for goal in ahead]
        found = [
            {value: book.answers_at(value, asked) for value, asked in work.items() if value not in book.errors}
            for work in works
        ]
        return [answers for answers in found if self.rule.can_score(answers)]

    def consider(self) -> None:
        """Makes the choices that can be made; all that are left, where the budget is over.

        Raises:
            BudgetOver: it was over before there was anything to choose by.
        """
        for goal in self._goals.values():
            if self._complete:
                goal.consider(self._answering.book)
            else:
                goal.settle(self._answering.book, self._answering.budget.over or "the budget")

    def measure_noise(self, value: float | None = None) -> Noise | None:
        """How many answers of a candidate, the middle one unless it is named, differ by chance; of a search that goes
        on, what it found before.

        The prompts are asked in the goal's order, which takes them from every task in turn.
        """
        run, settings = self.search.run, self.search.study.settings
        value = self.search.values[len(self.search.values) // 2] if value is None else value
        if self._answering.budget.over is None:
            prompts = in_turn(self.search.tasks, settings.prompts.seed)[: settings.searching.noise]
            noise = self._answering.noise(value, prompts)
            if noise is not None:
                run.write(run.noise, asdict(noise))
        return read_noise(run)

    def settle(self) -> Outcome:
        """The outcome, and in the run folder the choice, every candidate's scores, and what all of it took."""
        run, refine, chosen = self.search.run, self.search.rule.config.refine, self._all.selection.chosen
        self._answering.tell_incomplete()
        donor_asked = self.scores is not None and self.scores.donor_asked  # noise was measured before that
        noise = read_noise(run) if donor_asked or chosen is None else self.measure_noise(chosen)
        before = (run.read(run.selection) or {}).get("alpha")
        asked = self._answering.book.asked
        full = max(asked, answers_without_saving(self.search.values, refine, len(self.search.prompts)))
        tasks = {name: tuple(goal.rounds) for name, goal in self._goals.items() if name}
        outcome = Outcome(tuple(self._all.rounds), tasks, Saved(asked, full), noise)
        run.write(run.selection, outcome.to_json())
        run.write(run.scores, candidate_scores(self._goals, self._answering.book))
        if before not in (None, chosen):
            self._events.say(Doing, what=f"{chosen} is chosen; before it went on, this search had chosen {before}")
        self._events.say(Selected, selection=outcome.selection)
        return outcome

    @property
    def chosen(self) -> float | None:
        """The candidate that was chosen for all prompts."""
        return self._all.selection.chosen

    def answers_at(self, value: float) -> dict[str, str]:
        """A candidate's answers to all prompts that its choice was made by."""
        return self._answering.book.answers_at(value, self._all.prompts[: self._all.rounds[-1].prompts])


def reach(lines: Sequence[Line], scores: ParentScores | None = None) -> None:
    """Has candidates of all lines answer, then base and donor score the answers, then every line choose; over again
    until every choice is made.

    So the base's engines and the donor's take turns as seldom as can be, however many lines there are.

    Args:
        scores: what the lines share.

    Raises:
        BudgetOver: it was over before there was anything to choose by.
    """
    while asked := [line for line in lines if line.ask()]:
        if scores is not None:
            scores.score([answers for line in asked for answers in line.to_score()])
        for line in asked:
            line.consider()


def marks_of(labelled: Labelled, asking: Answering, values: Sequence[float]) -> Marks:
    """Which labelled prompts these candidates answer right; those that are not answered yet are asked. A candidate that
    fails at them has none right. Nothing where the budget is over before all are answered."""
    if not asking.answer(dict.fromkeys(values, labelled.prompts)):
        return {}
    answers = asking.book.responses(values, labelled.prompts)
    return {v: labelled.right(answers[v]) if v in answers else [False] * len(labelled.prompts) for v in values}


def read_noise(run: RunFolder) -> Noise | None:
    """What was found before; None where it was not measured."""
    stored = run.read(run.noise)
    with run.understood():
        return Noise(**stored) if stored else None
