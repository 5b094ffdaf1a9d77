"""What the dashboard shows of each candidate beside what it cost: divergences, their parts, and degeneracy rates."""

from collections.abc import Mapping, Sequence

from adamms.runs.responses import Responses
from adamms.runs.values import format_value
from adamms.searching.candidates import CandidateBook
from adamms.searching.goal import Goal
from adamms.selecting.answer_table import AnswerTable
from adamms.selecting.criteria import get_criterion
from adamms.selecting.divergence import divergence_of, endpoints_of, fewest_of
from adamms.selecting.selection import Selection

ALWAYS = ("either", "sum")
"""Cheap counts, shown for every candidate whichever criterion chooses."""
LOWER, HIGHER = "changed_towards_lower", "changed_towards_higher"
"""The two parts of a score: differences to the next lower and the next higher candidate."""
Scores = dict[str, dict[str, float]]
"""candidate's value as `format_value` writes it -> name -> number"""


def candidate_scores(goals: Mapping[str, Goal], book: CandidateBook) -> Scores:
    """By the names `either`, `changed_towards_lower`, ..., and of several tasks `TASK/either`, ... too.

    A candidate that took part in several rounds has the values of the last, the finest.
    """
    found: Scores = {}
    for name, goal in goals.items():
        for responses, one in goal.reviewed(book):
            for value, numbers in scores_of(one.selection, responses, goal.parents).items():
                prefixed = {f"{name}/{key}" if name else key: number for key, number in numbers.items()}
                found.setdefault(format_value(value), {}).update(prefixed)
    return found


def scores_of(
    selection: Selection, responses: Responses, parents: Sequence[Mapping[str, str]] = ()
) -> dict[float, dict[str, float]]:
    """Every candidate's; what is not there is left out."""
    answers = AnswerTable.of(responses, parents)
    table: dict[float, dict[str, float]] = {value: {} for value in answers.values}
    chosen_by = get_criterion(selection.criterion)
    for name in dict.fromkeys((*ALWAYS, selection.criterion)):
        ends = selection.endpoints if name == selection.criterion or not chosen_by.scores_ends else "auto"
        if len(answers.values) < fewest_of(endpoints_of(get_criterion(name), ends)):
            continue  # two finer candidates, of which a criterion that needs no neighbour has chosen one
        divergence = divergence_of(answers, get_criterion(name), ends)
        for value, score in zip(answers.values, divergence.score.sum(axis=1), strict=True):
            table[value][name] = float(score)
    for value, numbers in table.items():
        sides = {LOWER: selection.left[value], HIGHER: selection.right[value]}
        numbers.update({side: part for side, part in sides.items() if part is not None})
        numbers.update({f"rate_{fault}": rate for fault, rate in selection.degeneracy[value].rates.items()})
    return {value: {k: v for k, v in numbers.items() if v == v} for value, numbers in table.items()}
