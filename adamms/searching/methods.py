"""Several merge methods in one search: a line for each, in the same engines, and one winner.

Every method chooses among its own candidates; then the same criterion, which has to be comparable, chooses among these.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from adamms.errors import UserError
from adamms.merging.methods import METHODS
from adamms.merging.recipe import OPTIONS, coefficients_of
from adamms.runs.costs import Costs
from adamms.runs.lock import locked
from adamms.runs.responses import Responses
from adamms.runs.run_folder import RunFolder
from adamms.searching.budget import Budget
from adamms.searching.config import StudySettings
from adamms.searching.events import Began, Doing, Events, Exported
from adamms.searching.line import Line, reach
from adamms.searching.outcome import Outcome
from adamms.searching.preparing import Search, own_whole, prepare, prepare_along
from adamms.searching.search import FoundLine, Watch, answering, export_winner, split
from adamms.searching.warm_engines import WarmEngines
from adamms.selecting.criteria import get_criterion
from adamms.selecting.labels import Marks
from adamms.selecting.methods import MethodSelection, select_method, why_not_comparable
from adamms.selecting.selection import Selection


@dataclass(frozen=True)
class MethodsSearch:
    """A search over several methods that was checked.

    Attributes:
        lines: method -> its search, in a folder of its own below `run`.
        same: what makes it this search and no other.
    """

    settings: StudySettings
    lines: dict[str, Search]
    run: RunFolder
    same: dict[str, Any]

    @property
    def first(self) -> Search:
        """Any of them: prompts, base and engine are the same."""
        return next(iter(self.lines.values()))

    def whole(self, line: Search) -> Search:
        """A line as the whole shows it: in the folder of it all, with the settings that were given."""
        return replace(line, study=replace(line.study, run=self.run, settings=self.settings), same=self.same)


def settings_of_methods(settings: StudySettings) -> dict[str, StudySettings]:
    """The settings of each method's line.

    Raises:
        UserError: everything that does not go together with several methods.
    """
    searching, merging = settings.searching, settings.merging
    problems = list(_problems(settings))
    if problems:
        raise UserError.from_problems(problems)
    return {
        method: replace(
            settings,
            run_dir=str(Path(settings.run_dir, RunFolder.METHODS, method)),
            merging=replace(
                merging,
                method=method,
                options={name: value for name, value in merging.options.items() if name in coefficients_of(method)},
            ),
            searching=replace(searching, methods=(), grids={}, alphas=_grid(settings, method)),
        )
        for method in searching.methods
    }


def prepare_methods(settings: StudySettings, force: bool, held: ExitStack) -> MethodsSearch:
    """Checks every line.

    Args:
        force: sets aside what another search left in the folders.
        held: keeps the locks of the lines' folders.

    Raises:
        UserError: the first thing to mend.
    """
    run = RunFolder(Path(settings.run_dir))
    lines: dict[str, Search] = {}
    known: dict[bool, Search] = {}  # the plan of methods that need the ancestor is another one
    for method, one in settings_of_methods(settings).items():
        held.enter_context(locked(Path(one.run_dir)))
        alike = known.get(METHODS[method].needs_ancestor)
        lines[method] = prepare_along(alike, one, force) if alike else prepare(one, force, parents=run)
        known.setdefault(METHODS[method].needs_ancestor, lines[method])
    same = {"command": "search", "searching.methods": {method: line.same for method, line in lines.items()}}
    whole = replace(next(iter(lines.values())).study, run=run)
    return MethodsSearch(settings, lines, run, own_whole(whole, same, force))


def run_methods(search: MethodsSearch, engines: WarmEngines, budget: Budget, told: Watch) -> FoundLine:
    """Answers along all lines what is not stored, chooses along each and among them, and exports the one winner.

    Raises:
        UserError: nothing could be chosen, or a candidate met something that the user can mend.
    """
    whole, costs = Events(told(search.whole(search.first), ""), search.run), Costs(search.run.costs)
    events = {m: Events(told(one, m), one.run, m) for m, one in search.lines.items()}
    for method, one in search.lines.items():
        one.run.write(one.run.plan, one.study.pair.plan.to_dict())
        events[method].say(Began)
    whole.say(Began)
    scoring, actors = search.first.scoring, search.first.study.settings.engine.actors
    with costs.kept(lambda: engines.gpu_hours):
        with answering(costs, actors) as books:
            scores = scoring.by(engines, search.first.prompts, whole, budget) if scoring is not None else None
            lines = {m: Line(one, engines, budget, events[m], scores) for m, one in search.lines.items()}
            books += [lambda: [book for line in lines.values() for book in line.books]]
            books += [lambda: scores.books if scores else []]
            if scores is not None:
                scores.before_donor = lambda: [line.measure_noise() for line in lines.values()]
            reach(list(lines.values()), scores)
            outcomes = {method: line.settle() for method, line in lines.items()}
        for method, line in lines.items():
            split(search.lines[method].costs, line.books, actors)
            search.lines[method].costs.save()
        found = choose_method(lines, outcomes)
        method, value = found.method, found.chosen
        outcome = outcomes[method].with_selection(found.selection)
        search.run.write(search.run.selection, found.to_json(outcome.to_json()))
        search.run.write(search.run.plan, search.lines[method].study.pair.plan.to_dict())
        with costs.phase("exporting"):
            whole.say(Doing, what=f"{method} is chosen, with {search.lines[method].study.coefficient.name} {value:g}")
            export_winner(search.lines[method], value, search.run.merged, engines, whole)
    whole.say(Exported, checkpoints={"": search.run.merged})
    return FoundLine(search.whole(search.lines[method]), outcome, search.run.merged)


def choose_method(lines: Mapping[str, Line], outcomes: Mapping[str, Outcome]) -> MethodSelection:
    """The choice among the methods, by the lines' own criterion and labels.

    Raises:
        UserError: as `select_method`.
    """
    any_line = next(iter(lines.values()))
    questions = {prompt.id: prompt.text for prompt in any_line.search.prompts}

    def choose(answers: Responses, marks: Marks, contradicted: int) -> Selection:
        config = replace(any_line.rule.config, coefficient="method", endpoints="one_sided")
        rule = replace(any_line.rule, marks=lambda places: marks, config=config)
        return rule.choose(answers, questions, contradicted)

    chosen = {method: outcome.selection for method, outcome in outcomes.items()}
    return select_method(chosen, lambda method, value: lines[method].answers_at(value), choose)


def _problems(settings: StudySettings) -> list[str]:
    searching, merging = settings.searching, settings.merging
    unknown = [method for method in searching.methods if method not in METHODS]
    if unknown:
        return [f"searching.methods: {', '.join(unknown)}: unknown; known are {', '.join(sorted(METHODS))}"]
    found = []
    if len(searching.methods) < 2 or len(set(searching.methods)) < len(searching.methods):
        found.append(f"searching.methods={list(searching.methods)}: give two or more, each once")
    if why := why_not_comparable(get_criterion(searching.metric)):
        found.append(f"searching.metric={searching.metric}: {why}")
    if searching.export == "each":
        found.append("searching.export=each: with searching.methods there is one winner; set it to one")
    for name in searching.grids.keys() - set(searching.methods):
        found.append(f"searching.grids.{name}: {name} is none of searching.methods")
    for name in merging.options:
        if not any(name in coefficients_of(method) for method in searching.methods):
            found.append(f"{OPTIONS}{name}: none of searching.methods has it")
    return found


def _grid(settings: StudySettings, method: str) -> tuple[float, ...]:
    return tuple(settings.searching.grids.get(method, settings.searching.alphas))
