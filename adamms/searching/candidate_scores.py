"""What the dashboard shows of each candidate beside its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adamms.runs.responses import Responses, comparison_set
from adamms.searching.candidates import CandidateBook
from adamms.searching.goal import Goal
from adamms.selecting.criteria.criterion import get_metric
from adamms.selecting.divergence import measure
from adamms.selecting.selection import Selection

LOGGED_METRICS = ("either", "sum")  # cheap counts, logged for every candidate whichever metric chooses
Table = dict[float, dict[str, float]]
"""alpha -> name -> value"""


def candidate_scores(goals: Mapping[str, Goal], book: CandidateBook) -> Table:
    """Divergences, their parts and degeneracy rates, by the names `either`, `left`, ..., and `task/either`, ...

    A candidate that took part in several rounds has the values of the last, the finest.
    """
    table: Table = {}
    for name, goal in goals.items():
        for responses, one in goal.reviewed(book):
            for alpha, values in scores_of(one.selection, responses, goal.parents).items():
                prefixed = {f"{name}/{key}" if name else key: value for key, value in values.items()}
                table.setdefault(alpha, {}).update(prefixed)
    return table


def scores_of(selection: Selection, responses: Responses, parents: Sequence[Mapping[str, str]] = ()) -> Table:
    """Every candidate's divergences, their parts, and degeneracy rates; what is not there is left out."""
    comparison = comparison_set(responses, parents)
    table: Table = {alpha: {} for alpha in comparison.alphas}
    for name in dict.fromkeys((*LOGGED_METRICS, selection.metric)):
        divergence = measure(comparison, get_metric(name), selection.endpoints)
        for alpha, score in zip(divergence.alphas, divergence.score.sum(axis=1), strict=True):
            table[alpha][name] = float(score)
    for alpha, values in table.items():
        sides = {"left": selection.left[alpha], "right": selection.right[alpha]}
        values.update({side: part for side, part in sides.items() if part is not None})
        values.update({f"rate_{fault}": rate for fault, rate in selection.degeneracy[alpha].rates.items()})
    return {alpha: {k: v for k, v in values.items() if v == v} for alpha, values in table.items()}
