"""How far every candidate's answers are from those of its neighbours, prompt by prompt."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from adamms.errors import UserError
from adamms.selecting.answer_table import AnswerTable
from adamms.selecting.criteria.criterion import Criterion, Floats

Endpoints = Literal["auto", "exclude", "one_sided"]
"""`exclude` (the paper): the lowest and the highest candidate have one neighbour only and are never chosen.
`one_sided`: they may be; the difference to their only neighbour counts for both sides.
`auto`: they may be by a criterion that needs no neighbour (`Criterion.scores_ends`), and by no other."""


@dataclass(frozen=True)
class Divergence:
    """Every candidate's differences to both neighbours, and the score made of them; NaN where there is no neighbour."""

    criterion: Criterion
    left: Floats
    """Difference to the next lower candidate. [C, P]"""
    right: Floats
    """Difference to the next higher candidate. [C, P]"""
    score: Floats
    """What is minimised, as a sum over the prompts. [C, P]"""
    both: Floats
    """Left plus right: breaks ties between equal scores. [C, P]"""

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Which candidates have a score. [C]"""
        return ~np.isnan(self.score[:, 0])


def endpoints_of(criterion: Criterion, endpoints: Endpoints, labels: bool = False) -> Endpoints:
    """What `auto` means for a criterion; anything else as it is. With `labels` they may be chosen by any: labels can
    say that the base alone is best."""
    return ("one_sided" if criterion.scores_ends or labels else "exclude") if endpoints == "auto" else endpoints


def divergence_of(table: AnswerTable, criterion: Criterion, endpoints: Endpoints = "auto") -> Divergence:
    """Compare every candidate with its neighbours.

    Raises:
        UserError: there are too few candidates for any to have a score, or `endpoints` is unknown.
    """
    endpoints = endpoints_of(criterion, endpoints)
    check_endpoints(len(table.values), endpoints)
    steps = np.stack([criterion.difference(a, b) for a, b in zip(table.answers, table.answers[1:], strict=False)])
    left, right, score, both = scores_of(criterion, steps, endpoints)
    if criterion.overall is not None:
        score = np.where(np.isnan(score), np.nan, criterion.overall(table))
    if criterion.parts:
        scores = [divergence_of(table, part, endpoints).score / part.largest for part in criterion.parts]
        score = np.asarray(np.mean(scores, axis=0))
    return Divergence(criterion, left, right, score, both)


def scores_of(criterion: Criterion, steps: Floats, endpoints: Endpoints) -> tuple[Floats, Floats, Floats, Floats]:
    """Left, right, score and both of `Divergence`, [C, P] each, from the differences between neighbours [C - 1, P]."""
    none = np.full((1, steps.shape[1]), np.nan)
    left, right = np.concatenate([none, steps]), np.concatenate([steps, none])
    low, high = left, right
    if endpoints == "one_sided":
        low, high = np.where(np.isnan(left), right, left), np.where(np.isnan(right), left, right)
    return left, right, criterion.score(low, high), low + high


def fewest_of(endpoints: str) -> int:
    """How many candidates there have to be, so that one can be chosen."""
    return 3 if endpoints == "exclude" else 2


def check_endpoints(candidates: int, endpoints: str) -> None:
    """Raise when no candidate could be chosen.

    Raises:
        UserError: as `divergence_of`.
    """
    if endpoints not in ("exclude", "one_sided"):
        raise UserError(f"endpoints: {endpoints!r} is unknown; choose auto, exclude or one_sided")
    needed = fewest_of(endpoints)
    if candidates < needed:
        hint = ", or set endpoints to one_sided" if needed == 3 and candidates == 2 else ""
        raise UserError(f"there are {candidates} candidates where at least {needed} are needed; give more values{hint}")
