"""A search over the weights of several donors under way: the lines it goes along, and where every answer is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from adamms.errors import UserError
from adamms.runs.answers import Answers
from adamms.runs.run_folder import RunFolder
from adamms.runs.values import normalize_value
from adamms.searching.answering import Answering
from adamms.searching.budget import Budget, BudgetOver
from adamms.searching.candidates import CandidateBook
from adamms.searching.events import Began, Events
from adamms.searching.line import Line, reach
from adamms.searching.outcome import Outcome
from adamms.searching.parents import ParentScores
from adamms.searching.preparing import Search, placed
from adamms.searching.search import Watch, split
from adamms.searching.surrogate import Surrogate
from adamms.searching.trials import Trials
from adamms.searching.walk import Ended, Step, Walk, Weights, replaced
from adamms.searching.warm_engines import WarmEngines
from adamms.searching.weights_search import WeightsSearch
from adamms.searching.weights_settings import settings_of_step, walk_of
from adamms.selecting.labels import accuracies, not_kept
from adamms.selecting.selection import Selection


@dataclass
class Way:
    """Goes along lines; keeps what they came to, and where every set of weights was answered."""

    search: WeightsSearch
    engines: WarmEngines
    budget: Budget
    told: Watch
    scores: ParentScores | None
    searches: dict[Step, Search] = field(default_factory=dict)
    lines: dict[Step, Line] = field(default_factory=dict)
    outcomes: dict[Step, Outcome] = field(default_factory=dict)
    answered: dict[Weights, tuple[Search, float]] = field(default_factory=dict)

    trials: Trials | None = None
    walk: Walk = field(init=False)

    def begin(self, events: Events) -> None:
        """Finds the weights to go around, where a surrogate is asked to propose some."""
        settings, start = self.search.settings, None
        if settings.searching.trials:
            self.trials = Trials(self.engines, self.budget, events, self._place)
            values = sorted({normalize_value(value) for value in settings.searching.alphas})
            surrogate = Surrogate(len(settings.donors), values, settings.prompts.seed)
            start = self.trials.go(surrogate, settings.searching.trials)
            self.answered |= self.trials.places
        digests = [donor.digest for donor in self.search.any.study.pair.donors]
        self.walk = walk_of(settings, digests, start)

    def _place(self, weights: Weights) -> tuple[Search, float]:
        """Where the answers of weights that were proposed are kept."""
        step = Step(0, replaced(weights, 0, 0.0), (weights[0],))
        settings = settings_of_step(self.search.settings, step, RunFolder.TRIALS)
        return placed(self.search.any, settings, self.search.force), weights[0]

    @property
    def books(self) -> list[CandidateBook]:
        """Of everything that was asked."""
        asked = self.trials.books if self.trials is not None else []
        return [*asked, *(book for line in self.lines.values() for book in line.books)]

    def go(self) -> str | None:
        """Goes along all lines, or as far as the budget allows; then it gives the reason why it ended.

        Raises:
            BudgetOver: before anything could be chosen.
        """
        for steps in self.walk:
            reason = self._too_many(point for step in steps for point in step.points)
            if reason is None:
                try:
                    self._along(steps)
                except BudgetOver:
                    if not self.outcomes:
                        raise
                    reason = self.budget.over or "the budget"
            if reason is not None:
                if not self.outcomes:
                    raise UserError(f"{reason}: the lines that it begins with ask more; raise it")
                return reason
        return None

    def _too_many(self, asked: Iterable[Weights]) -> str | None:
        most = self.search.settings.budget.candidates
        points = {tuple(map(normalize_value, point)) for point in asked}
        return f"budget.candidates={most}" if most and len(points | self.answered.keys()) > most else None

    def _along(self, steps: Sequence[Step]) -> None:
        lines = {step: self._line(step, steps) for step in steps}
        if self.scores is not None and not self.outcomes:
            self.scores.before_donor = lambda: [line.measure_noise() for line in lines.values()]
        reach(list(lines.values()), self.scores)
        for step, line in lines.items():
            outcome = line.settle()
            self.lines[step], self.outcomes[step] = line, outcome
            for one in outcome.rounds:
                self._remember(step, one.values)
            split(self.searches[step].costs, line.books, self.search.settings.engine.actors)
            self.searches[step].costs.save()
        selections = [self.outcomes[step].selection for step in lines]
        for step, selection, rank in zip(lines, selections, ranks_of(selections), strict=True):
            self.walk.end(step, Ended(selection.chosen, rank))

    def _line(self, step: Step, beside: Sequence[Step]) -> Line:
        one = self.searches[step] = self.search.line(step)
        title = self.search.title(step)
        events = Events(self.told(one, title), one.run, title)
        one.run.write(one.run.plan, one.study.pair.plan.to_dict())
        events.say(Began)
        self._reuse(step, one)
        if len(beside) > 1 and step == beside[0]:
            self._ask_shared(step, one, beside, events)
        return Line(one, self.engines, self.budget, events, self.scores)

    def _ask_shared(self, step: Step, one: Search, beside: Sequence[Step], events: Events) -> None:
        """What several lines begin with is asked once: the base, where no donor has a weight."""
        others = {point for other in beside[1:] for point in other.points}
        shared = [value for value in step.values if step.at(value) in others]
        if not one.rule.in_blocks:
            asking = Answering(one.study, self.engines, one.prompts, one.answers, events, self.budget)
            asking.answer(dict.fromkeys(shared, one.prompts))
            self._remember(step, shared)

    def _remember(self, step: Step, values: Sequence[float]) -> None:
        for value in values:
            self.answered.setdefault(tuple(map(normalize_value, step.at(value))), (self.searches[step], value))

    def _reuse(self, step: Step, one: Search) -> None:
        """Takes over what other lines have asked of the same weights."""
        for value in step.values:
            found = self.answered.get(tuple(map(normalize_value, step.at(value))))
            if found is not None and found[0] is not one:
                take_over(found[0], found[1], one, value)

    def without(self, donor: int) -> tuple[Search, float] | None:
        """A search that has the answers of the chosen weights without one donor, where there is a line with them, and
        under which value; asks what was not asked before, as far as the budget allows."""
        weights = tuple(map(normalize_value, replaced(self.walk.weights, donor, 0.0)))
        found, step = self.answered.get(weights), self.walk.step(donor)
        if found is not None or step is None or self._too_many([weights]):
            return found
        one = self.searches.get(step) or self.search.line(step)
        asked = [(one.prompts, one.answers), *([(one.labelled[0].prompts, one.labelled[1])] if one.labelled else [])]
        for prompts, stored in asked:
            Answering(one.study, self.engines, prompts, stored, budget=self.budget).answer({0.0: prompts})
        self.answered[weights] = one, 0.0
        return one, 0.0


def take_over(known: Search, value: float, one: Search, own: float) -> None:
    """Answers of the same weights, known to one search, become another one's, to labelled prompts too."""
    stores: list[tuple[Answers, Answers, Sequence[Any]]] = [(known.answers, one.answers, one.prompts)]
    if known.labelled is not None and one.labelled is not None:
        stores.append((known.labelled[1], one.labelled[1], one.labelled[0].prompts))
    for source, target, prompts in stores:
        if source.engine is not None and target.engine is None:
            target.made_by(source.engine)
        for prompt in prompts if source.engine == target.engine else ():
            record = source.get(value, prompt)
            if record is not None and target.get(own, prompt) is None:
                target.take_over(own, prompt, record)


def ranks_of(selections: Sequence[Selection]) -> list[tuple[float, ...]]:
    """What lines are ordered by, the less the better: those whose choice labels cannot tell from the best come first,
    by the criterion's score a prompt, since lines may stop after different numbers of these; then the others, by
    labels; last those that chose nothing."""
    marks = {
        float(i): one.marks[one.chosen] for i, one in enumerate(selections) if one.chosen is not None and one.marks
    }
    alone = any(one.parents_contradict for one in selections)
    behind, right = not_kept(marks, alone) if marks else {}, accuracies(marks)
    found: list[tuple[float, ...]] = []
    for i, one in enumerate(selections):
        score = one.scores[one.chosen] if one.chosen is not None else None
        place = 2.0 if score is None else float(i in behind)
        found.append((place, -right[i] if i in behind else 0.0, (score or 0.0) / one.prompts_used))
    return found
