"""The divergence of every candidate from its neighbours, prompt by prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from adamms.errors import UserError
from adamms.runs.responses import Comparison
from adamms.selecting.criteria.criterion import Floats, Metric

Endpoints = Literal["exclude", "one_sided"]
"""`exclude` (the paper): the first and the last alpha have one neighbour only and are never chosen.
`one_sided`: their one difference stands for both sides."""


@dataclass(frozen=True)
class Divergence:
    """Differences to both neighbours, and the scores made of them. NaN where there is nothing to compare."""

    metric: Metric
    alphas: tuple[float, ...]
    """[A]"""
    left: Floats
    """To the next smaller alpha. [A, P]"""
    right: Floats
    """To the next larger alpha. [A, P]"""
    score: Floats
    """What is minimised, summed over prompts. [A, P]"""
    both: Floats
    """Left plus right: breaks ties. [A, P]"""

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Which candidates have a score. [A]"""
        return ~np.isnan(self.score[:, 0])


def measure(comparison: Comparison, metric: Metric, endpoints: Endpoints = "exclude") -> Divergence:
    """Compare every candidate with its neighbours.

    Raises:
        UserError: too few candidates for any to have a score, or an unknown way with end points.
    """
    check_endpoints(len(comparison.alphas), endpoints)
    steps = np.stack(
        [metric.difference(a, b) for a, b in zip(comparison.answers, comparison.answers[1:], strict=False)]
    )
    none = np.full((1, steps.shape[1]), np.nan)
    left, right = np.concatenate([none, steps]), np.concatenate([steps, none])
    score, both = combine(metric, left, right, endpoints)
    if metric.overall is not None:
        score = np.where(np.isnan(score), np.nan, metric.overall(comparison.answers, comparison.parents))
    if metric.parts:
        scores = [measure(comparison, part, endpoints).score / part.largest for part in metric.parts]
        score = np.asarray(np.mean(scores, axis=0))
    return Divergence(metric, comparison.alphas, left, right, score, both)


def combine(metric: Metric, left: Floats, right: Floats, endpoints: Endpoints) -> tuple[Floats, Floats]:
    """Scores and tie-breakers from the differences to both sides; all are [A, P], missing sides NaN."""
    if endpoints == "one_sided":
        left, right = np.where(np.isnan(left), right, left), np.where(np.isnan(right), left, right)
    return metric.score(left, right), left + right


def check_endpoints(candidates: int, endpoints: str) -> None:
    """Raise when nothing can be chosen.

    Raises:
        UserError: as `measure`.
    """
    if endpoints not in ("exclude", "one_sided"):
        raise UserError(f"endpoints: {endpoints!r} is unknown; choose exclude or one_sided")
    needed = 3 if endpoints == "exclude" else 2
    if candidates < needed:
        hint = ", or set endpoints to one_sided" if needed == 3 and candidates == 2 else ""
        raise UserError(f"there are {candidates} candidates where at least {needed} are needed; give more alphas{hint}")
