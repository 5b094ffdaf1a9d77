"""The weights of several donors in one search, without labels: ordinary searches along one donor's weight, one after
the other (`walk`), in the same engines; no answer is asked for twice, and one candidate wins."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from math import fsum
from pathlib import Path
from typing import Any

from adamms.addresses import short_name
from adamms.errors import UserError
from adamms.merging.methods.coefficient import ALPHA
from adamms.merging.recipe import Recipe, parse_alpha
from adamms.runs.answers import Answers
from adamms.runs.costs import Costs
from adamms.runs.lock import locked
from adamms.runs.ownership import must_give_way
from adamms.runs.run_folder import RunFolder
from adamms.runs.values import format_value, normalize_value
from adamms.searching.answering import Answering
from adamms.searching.budget import Budget, BudgetOver
from adamms.searching.coefficient import FEWEST
from adamms.searching.config import StudySettings
from adamms.searching.effects import effects_of
from adamms.searching.events import Began, Doing, Events, Exported, Listener
from adamms.searching.line import ENGINES, Line, reach
from adamms.searching.outcome import Outcome
from adamms.searching.parents import ParentScores
from adamms.searching.preparing import Search, prepare, prepare_along
from adamms.searching.search import export_winner, split
from adamms.searching.walk import Ended, Step, Walk, replaced
from adamms.searching.warm_engines import WarmEngines
from adamms.selecting.labels import accuracies
from adamms.selecting.selection import Selection

Weights = tuple[float, ...]
Watch = Callable[[Search, str], Sequence[Listener]]
"""Describes a line in its folder; gives who is told of it, by the title it has."""


def searches_weights(settings: StudySettings) -> bool:
    """Whether settings ask for the weights of several donors, rather than for one number."""
    searching = settings.searching
    uses_alpha = Recipe(settings.merging.method).rule.uses_alpha
    return bool(settings.donors) and searching.coefficient == ALPHA and not searching.donor and uses_alpha


@dataclass(frozen=True)
class WeightsSearch:
    """A search over the weights of several donors that was checked.

    Attributes:
        first: a line along each donor that begins with no other one.
        same: what makes it this search and no other.
        held: keeps the locks of the lines' folders.
    """

    settings: StudySettings
    first: dict[Step, Search]
    run: RunFolder
    same: dict[str, Any]
    held: ExitStack
    force: bool = False

    @property
    def any(self) -> Search:
        """One of the lines: models, prompts, base and engine are the same."""
        return next(iter(self.first.values()))

    @property
    def names(self) -> list[str]:
        """What donors are called, each its own way."""
        return names_of(self.settings)

    def line(self, step: Step) -> Search:
        """The ordinary search of one step, in a folder of its own."""
        if step in self.first:
            return self.first[step]
        settings = settings_of_step(self.settings, step)
        self.held.enter_context(locked(Path(settings.run_dir)))
        return prepare_along(self.any, settings, self.force)

    def title(self, step: Step) -> str:
        """`text, with onevision 0.3`"""
        others = [f"{self.names[i]} {format_value(weight)}" for i, weight in enumerate(step.weights) if weight]
        return self.names[step.donor] + (f", with {' and '.join(others)}" if others else "")

    def whole(self, line: Search) -> Search:
        """A line as the whole shows it: in the folder of it all, with the settings that were given."""
        return replace(line, study=replace(line.study, run=self.run, settings=self.settings), same=self.same)


@dataclass(frozen=True)
class FoundWeights:
    """The winner: the line that it was chosen on, and the checkpoint that was written."""

    line: Search
    outcome: Outcome
    weights: Weights
    checkpoint: Path


def names_of(settings: StudySettings) -> list[str]:
    """The donors' short names, or where two are alike, their whole ones."""
    short = list(map(short_name, settings.donors))
    return short if len(set(short)) == len(short) else list(settings.donors)


def settings_of_step(settings: StudySettings, step: Step) -> StudySettings:
    """The settings of the ordinary search along one donor's weight."""
    written = [format_value(weight) for weight in step.weights]
    place = "_".join("x" if i == step.donor else weight for i, weight in enumerate(written))
    searching = replace(settings.searching, donor=step.donor + 1, alpha=",".join(written), alphas=step.values)
    return replace(settings, run_dir=str(Path(settings.run_dir, RunFolder.LINES, place)), searching=searching)


def prepare_weights(settings: StudySettings, force: bool, held: ExitStack) -> WeightsSearch:
    """Checks the lines that it begins with.

    Args:
        force: sets aside what another search left in the folders.
        held: keeps the locks of the lines' folders.

    Raises:
        UserError: the first thing to mend.
    """
    if problems := list(_problems(settings)):
        raise UserError.from_problems(problems)
    run = RunFolder(Path(settings.run_dir))
    first: dict[Step, Search] = {}
    for step in next(iter(walk_of(settings))):
        one = settings_of_step(settings, step)
        held.enter_context(locked(Path(one.run_dir)))
        known = next(iter(first.values()), None)
        first[step] = prepare_along(known, one, force) if known else prepare(one, force, parents=run)
    same = {"command": "search", "searching.passes": settings.searching.passes}
    same["lines"] = {step.donor: line.same for step, line in first.items()}
    as_stored: dict[str, Any] = json.loads(json.dumps(same))
    if must_give_way(run, as_stored, force):
        run.set_aside()
    return WeightsSearch(settings, first, run, as_stored, held, force)


def walk_of(settings: StudySettings, names: Sequence[str] | None = None) -> Walk:
    """The way that settings ask for.

    Raises:
        UserError: a value is no weight, or there are too few.
    """
    values = sorted({normalize_value(value) for value in settings.searching.alphas})
    if not values or not 0 <= values[0] <= values[-1] <= 1 or len(values) < FEWEST:
        raise UserError(f"searching.alphas: {values}: expected {FEWEST} weights of a donor or more, from 0 to 1")
    return Walk(names or names_of(settings), values, settings.searching.passes, FEWEST)


def run_weights(search: WeightsSearch, engines: WarmEngines, budget: Budget, told: Watch) -> FoundWeights:
    """Goes along lines until the weights are found, and exports the winner.

    Raises:
        UserError: nothing could be chosen, or a candidate met something that the user can mend.
    """
    whole, costs = Events(told(search.whole(search.any), ""), search.run), Costs(search.run.costs)
    began = time.perf_counter()
    search.run.write(search.run.plan, search.any.study.pair.plan.to_dict())
    whole.say(Began)
    scoring = search.any.scoring
    scores = scoring.by(engines, search.any.prompts, whole) if scoring is not None else None
    way = _Way(search, engines, budget, told, scores)
    with costs.phase(ENGINES):
        over = way.go()
        step = way.walk.last
        if step is None:
            reasons = (f"{search.title(s)}: {one.selection.verdict}" for s, one in way.outcomes.items())
            raise UserError(f"searching.alphas: no donor has a candidate that can be chosen ({'; '.join(reasons)})")
        effects = effects_of(way.lines[step], way.walk.weights, search.names, way.without, whole)
    split(costs, [*way.books, *(scores.books if scores else [])], search.settings.engine.actors)
    outcome, weights = way.outcomes[step], way.walk.weights
    told_of = to_json(outcome, way, step, effects, over)
    search.run.write(search.run.selection, told_of)
    with costs.phase("exporting"):
        whole.say(Doing, what=told_of["verdict"])
        export_winner(way.searches[step], weights[step.donor], search.run.merged, engines, whole)
    costs.count("gpu_hours", engines.gpus * (time.perf_counter() - began) / 3600)
    costs.save()
    whole.say(Exported, checkpoints={"": search.run.merged})
    return FoundWeights(way.searches[step], outcome, weights, search.run.merged)


@dataclass
class _Way:
    """A search under way: the lines it went along, and where every set of weights was answered."""

    search: WeightsSearch
    engines: WarmEngines
    budget: Budget
    told: Watch
    scores: ParentScores | None
    searches: dict[Step, Search] = field(default_factory=dict)
    lines: dict[Step, Line] = field(default_factory=dict)
    outcomes: dict[Step, Outcome] = field(default_factory=dict)
    answered: dict[Weights, tuple[Search, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        digests = [donor.digest for donor in self.search.any.study.pair.donors]
        self.walk = walk_of(self.search.settings, digests)

    @property
    def books(self) -> list[Any]:
        """Of everything that was asked."""
        return [book for line in self.lines.values() for book in line.books]

    def go(self) -> str | None:
        """Goes along all lines, or as far as the budget allows; then it gives the reason why it ended.

        Raises:
            BudgetOver: before anything could be chosen.
        """
        for steps in self.walk:
            reason = self._too_many(steps)
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

    def _too_many(self, steps: Sequence[Step]) -> str | None:
        most = self.search.settings.budget.candidates
        points = {tuple(map(normalize_value, point)) for step in steps for point in step.points}
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
            self.walk.end(step, Ended(outcome.selection.chosen, rank_of(outcome.selection)))

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
        under which value; asks what was not asked before."""
        weights = replaced(self.walk.weights, donor, 0.0)
        found, step = self.answered.get(tuple(map(normalize_value, weights))), self.walk.step(donor)
        if found is not None or step is None:
            return found
        one = self.searches.get(step) or self.search.line(step)
        asked = [(one.prompts, one.answers), *([(one.labelled[0].prompts, one.labelled[1])] if one.labelled else [])]
        for prompts, stored in asked:
            Answering(one.study, self.engines, prompts, stored, budget=self.budget).answer({0.0: prompts})
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


def rank_of(selection: Selection) -> tuple[float, ...]:
    """What lines are ordered by, the less the better: labels first, where there are some, then the criterion."""
    if selection.chosen is None:
        return (1.0, 0.0)
    right = accuracies(selection.marks).get(selection.chosen, 0.0) if selection.marks else 0.0
    score = selection.scores[selection.chosen]
    return (-right, float("inf") if score is None else score)


def to_json(
    outcome: Outcome, way: _Way, step: Step, effects: Mapping[str, Mapping[str, Any]], over: str | None
) -> dict[str, Any]:
    """`selection.json` of the whole: the deciding line's, as it has it, and `weights` (donor -> weight), `donor` (whose
    line it is), `path` (every line, in order), `without` (donor -> what leaving it out changes), `candidates`."""
    names, weights = way.search.names, dict(zip(way.search.names, way.walk.weights, strict=True))
    found = outcome.to_json()
    told = " and ".join(f"{name} {format_value(weight)}" for name, weight in weights.items())
    rest = format_value(max(0.0, 1 - fsum(weights.values())))
    verdict = f"{told} are chosen, the base has {rest}; along {way.search.title(step)}: {found['verdict']}"
    stopped = [f"stopped by {over}, before every donor's weight was searched again"] if over else []
    return found | {
        "verdict": verdict,
        "warnings": [*found["warnings"], *stopped],
        "weights": weights,
        "donor": names[step.donor],
        "path": [_row(way, one) for one in way.outcomes],
        "without": effects,
        "candidates": len(way.answered),
    }


def _row(way: _Way, step: Step) -> dict[str, Any]:
    selection, names = way.outcomes[step].selection, way.search.names
    others = {names[i]: weight for i, weight in enumerate(step.weights) if i != step.donor and weight}
    scores = selection.to_json()["scores"]
    return {
        "donor": names[step.donor],
        "others": others,
        "alpha": selection.chosen,
        "scores": scores,
        "folder": Path(way.searches[step].run.folder).name,
    }


def _problems(settings: StudySettings) -> Iterator[str]:
    searching = settings.searching
    if searching.methods:
        yield "searching.methods: with several donors one method is searched at a time; set merging.method"
    if searching.export == "each":
        yield "searching.export=each: with several donors there is one winner; set it to one"
    if searching.passes < 0:
        yield f"searching.passes={searching.passes}: expected 0 or more"
    if searching.extend:
        yield "searching.extend: with several donors each line has the same searching.alphas; give all of them there"
    if isinstance(searching.alpha, str) and parse_alpha(searching.alpha):
        yield (
            "searching.alpha: all donors' weights are searched; with searching.donor one of them, while the others "
            "keep those of searching.alpha"
        )
