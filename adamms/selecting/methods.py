"""The choice among several merge methods: each takes part with what it chose along its own coefficient."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any

from adamms.errors import UserError
from adamms.runs.responses import Responses
from adamms.runs.values import format_value
from adamms.selecting.criteria import CRITERIA, Criterion, get_criterion
from adamms.selecting.labels import Marks
from adamms.selecting.selection import Selection
from adamms.selecting.worth import beside_base

RIVAL = 0.1
"""A method is a rival of the chosen one where it wins in this share of the resamples."""
Choose = Callable[[Responses, Marks, int], Selection]
"""The criterion, with end points; it is given what each method's candidate answers, by place, which labelled prompts it
answers right, and on how many prompts base and donor contradict each other along some method."""
AnswersAt = Callable[[str, float], Mapping[str, str]]
"""(method, value of its coefficient) -> prompt id -> answer, to the prompts that its choice was made by."""


@dataclass(frozen=True)
class MethodSelection:
    """The chosen method, and what it was chosen from.

    Attributes:
        lines: method -> the choice along it, of every method; of the chosen one with what it is worth beside the base,
            where another method has that for a candidate.
        among: the choice among those that chose something; values are places in `methods`.
        methods: those.
    """

    lines: Mapping[str, Selection]
    among: Selection
    methods: tuple[str, ...]

    @property
    def method(self) -> str:
        """The chosen one."""
        return self.methods[int(self.among.chosen or 0)]  # a place: 0 is one, too

    @property
    def selection(self) -> Selection:
        """The choice along the chosen method."""
        return self.lines[self.method]

    @property
    def chosen(self) -> float:
        """The chosen value of the chosen method's coefficient."""
        value = self.selection.chosen
        assert value is not None, "only such methods take part"
        return value

    @property
    def eligible(self) -> tuple[str, ...]:
        """Those that could be chosen: neither labels nor the guard against collapse leave them out."""
        return tuple(name for place, name in enumerate(self.methods) if place not in self.among.excluded)

    @property
    def unopposed(self) -> bool:
        """Whether the chosen one is the only one that could be chosen: then no resample says anything of it."""
        return len(self.eligible) == 1

    @property
    def verdict(self) -> str:
        """How far the choice is supported, in words: among the methods, and along the chosen one."""
        return f"{_verdict_among(self)}; along {self.method}: {self.selection.verdict}"

    def to_json(self, found: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """`selection.json` of the whole: the chosen method's, `method`, and `methods`: what each method chose, its
        score, and in what share of the resamples it wins (None where it
        was not resampled, or had no rival).

        Args:
            found: the chosen method's, where more is known than its selection.
        """
        rows = {name: self._row(place, name) for place, name in enumerate(self.methods)}
        own = self.selection.to_json() if found is None else found
        return {**own, "method": self.method, "methods": rows, "verdict": self.verdict}

    def _row(self, place: int, name: str) -> dict[str, Any]:
        line, among = self.lines[name], self.among
        return {
            "coefficient": line.coefficient,
            "alpha": line.chosen,
            "score": among.scores[place],
            "excluded": among.excluded.get(place),
            "wins": None if self.unopposed else among.bootstrap.get(place),
        }


def select_method(lines: Mapping[str, Selection], answers_at: AnswersAt, choose: Choose) -> MethodSelection:
    """Chooses among methods by the criterion that chose along each.

    Args:
        lines: method -> the choice along it.

    Raises:
        UserError: no method has chosen anything, or the criterion cannot compare methods.
    """
    values = {method: line.chosen for method, line in lines.items() if line.chosen is not None}
    if not values:
        told = "; ".join(f"{method}: {line.verdict}" for method, line in lines.items())
        raise UserError(f"searching.alphas: no method has a candidate that can be chosen ({told}); try others")
    methods = tuple(values)
    if len(methods) == 1:
        among = _unopposed(lines[methods[0]])
    else:
        marks: Marks = {float(place): lines[m].marks[values[m]] for place, m in enumerate(methods) if lines[m].marks}
        answers = {float(place): dict(answers_at(m, values[m])) for place, m in enumerate(methods)}
        found_before = max(line.contradicted / max(line.prompts_used, 1) for line in lines.values())
        common = len(set.intersection(*(set(given) for given in answers.values())))  # lines may stop at different ones
        among = choose(answers, marks if len(marks) == len(methods) else {}, round(found_before * common))
        if not get_criterion(among.criterion).comparable:
            told = (among.criterion, *among.warnings)[-1]  # the last one says why it is this criterion
            raise UserError(f"searching.methods: {told}, which cannot compare methods; search one at a time")
        if among.chosen is None:
            raise UserError(f"searching.methods: {among.verdict}; try other methods or alphas")
    found = MethodSelection(lines, among, methods)
    own = found.selection
    chosen = replace(own, worth=(*own.worth, *_beside_base(found, answers_at)), warnings=tuple(_warnings(own, among)))
    return replace(found, lines={**lines, found.method: chosen})


def _warnings(line: Selection, among: Selection) -> Iterator[str]:
    """Those of the chosen method; of base and donor that contradict each other, what was found among all methods."""
    yield from (one for one in line.warnings if one not in line.told_of_parents)
    yield from among.told_of_parents


def why_not_comparable(criterion: Criterion) -> str | None:
    """Why a criterion cannot choose between methods; None where it can."""
    if criterion.comparable:
        return None
    known = ", ".join(name for name, one in CRITERIA.items() if one.comparable)
    return (
        "is made of differences within one method, so it cannot choose between methods; take one that looks at each "
        f"candidate by itself: {known}, or a mean such as logprob+parents"
    )


def _unopposed(only: Selection) -> Selection:
    """The choice among one method."""
    assert only.chosen is not None
    return replace(only, chosen=0.0, scores={0.0: only.scores[only.chosen]}, excluded={}, bootstrap={0.0: 1.0})


def _beside_base(found: MethodSelection, answers_at: AnswersAt) -> Iterator[str]:
    """What the winner is worth beside the base, where its own method has no candidate that is the base but another one
    has."""
    has_base = [m for m, line in found.lines.items() if line.with_base and 0.0 in line.scores]
    if not has_base or found.method in has_base:
        return
    line, other = found.selection, found.lines[has_base[0]]
    answers, base = answers_at(found.method, found.chosen), answers_at(has_base[0], 0.0)
    common = sorted(answers.keys() & base.keys())
    both = (line.marks[found.chosen], other.marks[0.0]) if line.marks and other.marks else None
    own, before = [answers[one] for one in common], [base[one] for one in common]
    yield from beside_base(_called(found.method, line), own, before, both)


def _verdict_among(found: MethodSelection) -> str:
    among, method = found.among, found.method
    each = {name: _called(name, found.lines[name]) for name in found.methods}
    if len(each) == 1:
        return f"of the methods, {each[method]} is the only one with a candidate that can be chosen"
    if among.marks and among.parents_contradict:
        right = among.marks[among.chosen or 0.0]
        share = f"on the {len(right)} labelled prompts ({100 * mean(right):.0f} %)"
        return f"of the methods, {each[method]} is right most often {share}"
    excluded = [f"{each[found.methods[int(place)]]}: {why}" for place, why in among.excluded.items()]
    if found.unopposed:
        told = f"of the methods, only {each[method]} can still be chosen"
    else:
        told = _verdict_by_prompts(found, {name: each[name] for name in found.eligible})
    return f"{told}; excluded: {', '.join(excluded)}" if excluded else told


def _verdict_by_prompts(found: MethodSelection, each: Mapping[str, str]) -> str:
    """Args: each: method -> what it is called, of those that could be chosen."""
    among, method = found.among, found.method
    if not among.bootstrap:
        return (
            f"of the methods, {each[method]} has the smallest score with {among.prompts_used} prompts (not resampled)"
        )
    wins = {name: among.bootstrap.get(place) or 0.0 for place, name in enumerate(found.methods) if name in each}
    share = f"wins in {100 * wins[method]:.0f} % of resamples of {among.prompts_used} prompts"
    rivals = [each[name] for name in each if name == method or wins[name] >= RIVAL]
    if len(rivals) > 1:
        told = f"{', '.join(rivals[:-1])} and {rivals[-1]} cannot be told apart"
        return f"of the methods, {told}: {each[method]} {share}"
    others = [each[name] for name in each if name != method]
    return f"of the methods, {each[method]} {share}, against {' and '.join(others)}"


def _called(method: str, line: Selection) -> str:
    """A method with what it chose."""
    return f"{method} ({line.coefficient} {'none' if line.chosen is None else format_value(line.chosen)})"
