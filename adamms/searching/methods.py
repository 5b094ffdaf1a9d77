"""Several merge methods in one search: a line for each, in the same engines, and one winner.

Every method chooses among its own candidates; then the same criterion, which has to be comparable, chooses among these.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from adamms.errors import UserError
from adamms.merging.methods import METHODS
from adamms.merging.recipe import OPTIONS, coefficients_of
from adamms.runs.costs import Costs
from adamms.runs.lock import locked
from adamms.runs.run_folder import RunFolder
from adamms.runs.values import format_value
from adamms.searching.budget import Budget
from adamms.searching.config import StudySettings
from adamms.searching.events import Began, Doing, Events, Exported, Listener
from adamms.searching.line import ENGINES, Line, reach
from adamms.searching.outcome import Outcome
from adamms.searching.preparing import Search, own_whole, prepare, prepare_along
from adamms.searching.search import export_winner, split
from adamms.searching.warm_engines import WarmEngines
from adamms.selecting.criteria import CRITERIA, get_criterion
from adamms.selecting.selection import Selection
from adamms.selecting.worth import beside_base

RIVAL = 0.1
"""A method is a rival of the chosen one where it wins in this share of the resamples."""


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

    def whole(self, method: str) -> Search:
        """The search of one method as the whole shows it: in the folder of it all, with the settings that were
        given."""
        line = self.lines[method]
        study = replace(line.study, run=self.run, settings=self.settings)
        return replace(line, study=study, same=self.same)


@dataclass(frozen=True)
class FoundMethod:
    """The winner: its method and value, what its own line chose from, and the checkpoint that was written.

    Attributes:
        selection: among the methods, each with its chosen candidate; values are places in `methods`.
    """

    method: str
    outcome: Outcome
    selection: Selection
    methods: tuple[str, ...]
    checkpoint: Path
    run: RunFolder


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


def run_methods(
    search: MethodsSearch, engines: WarmEngines, budget: Budget, listeners: Mapping[str, Sequence[Listener]]
) -> FoundMethod:
    """Answers along all lines what is not stored, chooses along each and among them, and exports the one winner.

    Args:
        listeners: method -> who is told of its line; "" -> who is told of the whole.

    Raises:
        UserError: nothing could be chosen, or a candidate met something that the user can mend.
    """
    events = {m: Events(listeners[m], one.run, m) for m, one in search.lines.items()}
    whole, began, costs = Events(listeners[""], search.run), time.perf_counter(), Costs(search.run.costs)
    for method, one in search.lines.items():
        one.run.write(one.run.plan, one.study.pair.plan.to_dict())
        events[method].say(Began)
    whole.say(Began)
    scoring = search.first.scoring
    with costs.phase(ENGINES):
        scores = scoring.by(engines, search.first.prompts, whole) if scoring is not None else None
        lines = {m: Line(one, engines, budget, events[m], scores) for m, one in search.lines.items()}
        if scores is not None:
            scores.before_donor = lambda: [line.measure_noise() for line in lines.values()]
        reach(list(lines.values()), scores)
        outcomes = {method: line.settle() for method, line in lines.items()}
    books = [book for line in lines.values() for book in line.books]
    split(costs, [*books, *(scores.books if scores else [])], search.first.study.settings.engine.actors)
    for method, line in lines.items():
        split(search.lines[method].costs, line.books, search.first.study.settings.engine.actors)
        search.lines[method].costs.save()
    selection, methods = choose_method(lines, outcomes)
    method = methods[int(selection.chosen or 0)]  # a place: 0 is one, too
    value = outcomes[method].selection.chosen
    assert value is not None, "only such methods take part"
    outcomes[method] = outcomes[method].with_worth(worth_beside_base(lines, method, value))
    search.run.write(search.run.selection, to_json(outcomes, method, selection, methods))
    search.run.write(search.run.plan, search.lines[method].study.pair.plan.to_dict())
    with costs.phase("exporting"):
        whole.say(Doing, what=f"{method} is chosen, with {search.lines[method].study.coefficient.name} {value:g}")
        export_winner(search.lines[method], value, search.run.merged, engines, whole)
    costs.count("gpu_hours", engines.gpus * (time.perf_counter() - began) / 3600)
    costs.save()
    whole.say(Exported, checkpoints={"": search.run.merged})
    return FoundMethod(method, outcomes[method], selection, methods, search.run.merged, search.run)


def choose_method(lines: Mapping[str, Line], outcomes: Mapping[str, Outcome]) -> tuple[Selection, tuple[str, ...]]:
    """The choice among the methods, each with the candidate that it chose, by the lines' own criterion and labels.

    Returns:
        The selection, whose values are places in the second part: the methods that chose something.

    Raises:
        UserError: none has.
    """
    values = {m: one.selection.chosen for m, one in outcomes.items() if one.selection.chosen is not None}
    if not values:
        told = "; ".join(f"{method}: {one.selection.verdict}" for method, one in outcomes.items())
        raise UserError(f"searching.alphas: no method has a candidate that can be chosen ({told}); try others")
    methods = tuple(values)
    any_line = lines[methods[0]]
    if len(methods) == 1:
        only = outcomes[methods[0]].selection
        score = {0.0: only.scores[values[methods[0]]]}
        return replace(only, chosen=0.0, scores=score, excluded={}, bootstrap={0.0: 1.0}), methods

    def marks(places: Sequence[float]) -> dict[float, Sequence[bool]]:
        chosen = {place: (lines[methods[int(place)]], values[methods[int(place)]]) for place in places}
        return {p: found[v] for p, (line, v) in chosen.items() if (found := line.rule.marks([v]))}

    rule = replace(
        any_line.rule, marks=marks, config=replace(any_line.rule.config, coefficient="method", endpoints="one_sided")
    )
    answers = {float(place): lines[m].answers_at(values[m]) for place, m in enumerate(methods)}
    questions = {prompt.id: prompt.text for prompt in any_line.search.prompts}
    found = rule.choose(answers, questions)
    if not get_criterion(found.criterion).comparable:
        raise UserError(f"searching.methods: {found.warnings[-1]}, which cannot compare methods; search one at a time")
    if found.chosen is None:
        raise UserError(f"searching.methods: {found.verdict}; try other methods or alphas")
    return found, methods


def worth_beside_base(lines: Mapping[str, Line], method: str, value: float) -> Iterator[str]:
    """What the winner is worth beside the base, where its own method has no candidate that is the base but another one
    has."""
    has_base = [m for m, line in lines.items() if line.rule.with_base and 0.0 in line.search.values]
    if not has_base or method in has_base:
        return
    line, other = lines[method], lines[has_base[0]]
    answers, base = line.answers_at(value), other.answers_at(0.0)
    common = sorted(answers.keys() & base.keys())
    marks, of_base = line.rule.marks([value]), other.rule.marks([0.0])
    name = f"{method} ({line.search.study.coefficient.name} {format_value(value)})"
    both = (marks[value], of_base[0.0]) if marks and of_base else None
    yield from beside_base(name, [answers[one] for one in common], [base[one] for one in common], both)


def to_json(
    outcomes: Mapping[str, Outcome], method: str, selection: Selection, methods: Sequence[str]
) -> dict[str, Any]:
    """`selection.json` of the whole: the winner's, as its own line has it, `method`, and `methods`: what each method
    chose, its score, and in what share of the resamples it wins."""
    found = outcomes[method].to_json()
    rows = {
        name: {
            "coefficient": outcomes[name].selection.coefficient,
            "alpha": outcomes[name].selection.chosen,
            "score": selection.scores[place],
            "excluded": selection.excluded.get(place),
            "wins": selection.bootstrap.get(place),
        }
        for place, name in enumerate(methods)
    }
    alone = f"along {method}: {found['verdict']}"
    return found | {"method": method, "methods": rows, "verdict": f"{verdict_of(method, rows, selection)}; {alone}"}


def verdict_of(method: str, rows: Mapping[str, Mapping[str, Any]], selection: Selection) -> str:
    """How far the choice of the method is supported, in words."""
    each = {name: f"{name} ({row['coefficient']} {format_value(row['alpha'])})" for name, row in rows.items()}
    if len(rows) == 1:
        return f"of the methods, {each[method]} is the only one with a candidate that can be chosen"
    share = f"wins in {100 * (rows[method]['wins'] or 0):.0f} % of resamples of {selection.prompts_used} prompts"
    rivals = [each[name] for name, row in rows.items() if name == method or (row["wins"] or 0) >= RIVAL]
    if len(rivals) > 1:
        told = f"{', '.join(rivals[:-1])} and {rivals[-1]} cannot be told apart"
        return f"of the methods, {told}: {each[method]} {share}"
    others = [each[name] for name in rows if name != method]
    return f"of the methods, {each[method]} {share}, against {' and '.join(others)}"


def _problems(settings: StudySettings) -> list[str]:
    searching, merging = settings.searching, settings.merging
    unknown = [method for method in searching.methods if method not in METHODS]
    if unknown:
        return [f"searching.methods: {', '.join(unknown)}: unknown; known are {', '.join(sorted(METHODS))}"]
    found = []
    if len(searching.methods) < 2 or len(set(searching.methods)) < len(searching.methods):
        found.append(f"searching.methods={list(searching.methods)}: give two or more, each once")
    if not get_criterion(searching.metric).comparable:
        known = ", ".join(name for name, one in CRITERIA.items() if one.comparable)
        found.append(
            f"searching.metric={searching.metric}: is made of differences within one method, so it cannot choose "
            f"between methods; take one that looks at each candidate by itself: {known}, or a mean such as "
            "logprob+parents"
        )
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
