"""The choice: the sound candidate whose answers change least towards its neighbours, and how far to trust it.

Of equal scores the one with the smaller total difference to both neighbours wins; if that is equal too, the lower
value, which is nearer to the base.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from adamms.errors import UserError
from adamms.runs.values import format_value
from adamms.selecting.contest import Contest
from adamms.selecting.contradiction import matters, told_of
from adamms.selecting.criteria import Criterion
from adamms.selecting.criteria.criterion import Floats
from adamms.selecting.degeneracy import Degeneracy, Limits
from adamms.selecting.divergence import Endpoints, endpoints_of
from adamms.selecting.labels import Marks, accuracies
from adamms.selecting.resampling import resample
from adamms.selecting.verdict import verdict_of, warnings_of
from adamms.selecting.worth import base_row, on_base_plateau, worth_of

ALPHA = "alpha"

Scores = dict[float, float | None]
"""Value of the coefficient -> score; None where there is nothing to compare."""


@dataclass(frozen=True)
class Selection:
    """The chosen candidate, everything it was chosen from, and what speaks against it.

    Candidates are identified by their values of the coefficient.
    """

    coefficient: str
    """Which coefficient was searched: alpha, or another one of the merging method, such as density."""
    with_base: bool
    """The candidate of alpha 0 is the base itself."""
    chosen: float | None
    """The chosen value; None when every candidate that could be chosen is degenerate."""
    criterion: str
    endpoints: Endpoints
    scores: Scores
    """Every candidate's score, summed over the prompts."""
    left: Scores
    """Difference to the next lower candidate."""
    right: Scores
    """Difference to the next higher candidate."""
    excluded: dict[float, str]
    """Candidates that could not be chosen, and why."""
    degeneracy: dict[float, Degeneracy]
    """What the guard against collapsed candidates found, for every candidate."""
    bootstrap: dict[float, float]
    """In what share of the resamples each candidate is chosen; empty without resampling."""
    intervals: dict[float, tuple[float, float]]
    """95 % intervals of all scores; empty without resampling."""
    prompts_used: int
    marks: Marks
    """Which labelled prompts each candidate answers right, where there are any."""
    without_labels: float | None
    """What would be chosen without them."""
    prompts_dropped: int
    """Left out because some candidate has not answered them."""
    contradicted: int
    """On how many prompts base and donor contradict each other (`contradiction`)."""
    verdict: str
    """How far the choice is supported, in words."""
    worth: tuple[str, ...]
    """What the choice is worth in points of accuracy, as far as that can be said."""
    warnings: tuple[str, ...]

    @property
    def parents_contradict(self) -> bool:
        """Whether base and donor contradict each other on enough prompts to be told, and to leave the choice to
        labels."""
        return matters(self.contradicted, self.prompts_used)

    @property
    def told_of_parents(self) -> tuple[str, ...]:
        """The warning of it, which is one of `warnings`."""
        return tuple(told_of(self.contradicted, self.prompts_used, bool(self.marks)))

    def to_json(self) -> dict[str, Any]:
        """Plain data for `selection.json`: keys like `"0.3"`, whole numbers as integers, None where there is none.

        `alpha` is the chosen value, whichever coefficient was searched; `metric` is the criterion as users name it.
        """
        return {
            "coefficient": self.coefficient,
            "with_base": self.with_base,
            "alpha": self.chosen,
            "metric": self.criterion,
            "endpoints": str(self.endpoints),
            "scores": _keyed(self.scores),
            "left": _keyed(self.left),
            "right": _keyed(self.right),
            "excluded": _keyed(self.excluded),
            "degeneracy": {format_value(value): dict(found.rates) for value, found in self.degeneracy.items()},
            "bootstrap": {format_value(value): share for value, share in self.bootstrap.items()},
            "interval": None if self.chosen is None else _plain(self.intervals.get(self.chosen)),
            "intervals": _keyed(self.intervals),
            "prompts": {"used": self.prompts_used, "dropped": self.prompts_dropped},
            "contradicted": self.contradicted,
            **({"labels": self._labels()} if self.marks else {}),
            "verdict": self.verdict,
            "worth": list(self.worth),
            "warnings": list(self.warnings),
        }

    def _labels(self) -> dict[str, Any]:
        return {
            "prompts": len(next(iter(self.marks.values()))),
            "accuracy": _keyed({value: 100 * share for value, share in accuracies(self.marks).items()}),
            "without": self.without_labels,
            "right": {format_value(value): list(map(int, answered)) for value, answered in self.marks.items()},
        }


def select(
    responses: Mapping[float, Mapping[str, str]],
    criterion: str | Criterion = "either",
    endpoints: Endpoints = "auto",
    *,
    coefficient: str = ALPHA,
    with_base: bool = True,
    bootstrap: int = 1000,
    seed: int = 0,
    prompts: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    parents: Sequence[Mapping[str, str]] = (),
    marks: Marks | None = None,
    contradicted: int = 0,
    failed: Mapping[float, str] | None = None,
) -> Selection:
    """Choose a candidate from responses alone.

    Args:
        responses: value of the coefficient -> prompt id -> response; only prompts that every candidate has answered
            are compared.
        criterion: what is minimised; a criterion or its name.
        endpoints: whether the lowest and the highest candidate can be chosen (`divergence.Endpoints`).
        coefficient: what the values are values of; named in the verdict and the warnings.
        with_base: the candidate of alpha 0 is the base itself.
        bootstrap: how often prompts are resampled; 0 for not at all.
        seed: of the resamples.
        prompts: prompt id -> text; lets the guard see answers that repeat their prompt.
        limits: of the guard against collapsed candidates.
        parents: answers of unmerged models, such as the donor in its own architecture, for criteria that use them.
        marks: which of a few labelled prompts every candidate answers right: it chooses among the best of these.
        contradicted: on how many prompts base and donor were found to contradict each other before, among other
            candidates.
        failed: candidates that could not answer -> why; told in the warnings.

    Raises:
        UserError: too few candidates, no common prompt, an unknown criterion, a number out of range.
    """
    if bootstrap < 0:
        raise UserError(f"bootstrap: {bootstrap} is negative; 0 is none")
    contest = Contest.of(responses, criterion, endpoints, prompts, limits, parents, marks, contradicted)
    values, divergence, eligible = contest.table.values, contest.divergence, contest.eligible
    base = base_row(contest) if coefficient == ALPHA and with_base else None
    resamples = resample(divergence.score, divergence.both, eligible, bootstrap, seed) if bootstrap else None
    scored = [(row, values[row]) for row in np.flatnonzero(divergence.scored)]
    by_criterion = contest.winner is not None and not contest.labels_alone
    shares = list(map(float, resamples.shares())) if resamples and by_criterion else []
    return Selection(
        coefficient=coefficient,
        with_base=with_base,
        chosen=contest.chosen,
        criterion=divergence.criterion.name,
        endpoints=endpoints_of(divergence.criterion, endpoints, labels=bool(marks)),
        scores=_totals(values, divergence.score),
        left=_totals(values, divergence.left),
        right=_totals(values, divergence.right),
        excluded=contest.excluded,
        degeneracy=contest.degeneracy,
        bootstrap=dict(zip(values, shares, strict=False)),
        intervals={value: resamples.interval(row) for row, value in scored} if resamples else {},
        prompts_used=len(contest.table.prompt_ids),
        marks=contest.marks,
        without_labels=contest.without_labels.chosen if contest.without_labels else None,
        prompts_dropped=contest.table.dropped,
        contradicted=contest.contradicted,
        verdict=verdict_of(contest, resamples, coefficient),
        worth=tuple(worth_of(contest, coefficient, base)),
        warnings=(
            *warnings_of(contest, coefficient, with_base, failed),
            *on_base_plateau(contest, coefficient, base),
            *told_of(contest.contradicted, len(contest.table.prompt_ids), bool(contest.marks)),
        ),
    )


def _totals(values: Sequence[float], differences: Floats) -> Scores:
    """Sums over the prompts, [C, P] -> value: sum"""
    sums = map(float, differences.sum(axis=1))
    return {value: None if np.isnan(total) else total for value, total in zip(values, sums, strict=True)}


def _keyed(table: Mapping[float, Any]) -> dict[str, Any]:
    return {format_value(value): _plain(entry) for value, entry in table.items()}


def _plain(entry: Any) -> Any:
    """As JSON holds it: tuples become lists, whole numbers integers."""
    if isinstance(entry, tuple):
        return list(map(_plain, entry))
    return int(entry) if isinstance(entry, float) and entry.is_integer() else entry
