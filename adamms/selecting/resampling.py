"""Choosing, and how the choice would vary with other prompts (bootstrap)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adamms.selecting.criteria.criterion import Floats

DIGITS = 9
"""Sums are compared after rounding, so that ties are ties in whatever order prompts are added up."""
CELLS_AT_ONCE = 2_000_000


def choose(score: Floats, tie_break: Floats) -> NDArray[np.intp]:
    """The winner of each row: smallest score; of those the smallest tie-breaker; of those the first. [..., A] -> [...]

    Candidates stand in the order of their alphas, so the first is the one nearest to the base.
    """
    score, tie_break = np.round(score, DIGITS), np.round(tie_break, DIGITS)
    leading = score == score.min(axis=-1, keepdims=True)
    return np.asarray(np.argmin(np.where(leading, tie_break, np.inf), axis=-1))


def smoother(positions: NDArray[np.intp], weight: float) -> Floats:
    """The matrix that gives each score the average of its neighbours' with this weight. [A, A]

    `positions` are the candidates' places among all alphas: one whose neighbour takes no part keeps more of its own.
    """
    adjacent = (np.abs(positions[:, None] - positions[None, :]) == 1).astype(np.float64)
    neighbours = adjacent.sum(axis=1, keepdims=True)
    average = adjacent / np.maximum(neighbours, 1)
    own = np.where(neighbours > 0, 1 - weight, 1.0)
    return np.asarray(np.diag(own[:, 0]) + weight * average)


@dataclass(frozen=True)
class Resamples:
    """What the same choice gives on prompts drawn with replacement from those that were answered."""

    scores: Floats
    """[B, A]"""
    winners: NDArray[np.intp]
    """[B]"""

    def shares(self) -> Floats:
        """How often each candidate is chosen. [A]"""
        count = np.bincount(self.winners, minlength=self.scores.shape[1])
        return np.asarray(count / max(len(self.winners), 1), dtype=np.float64)

    def interval(self, candidate: int, level: float = 0.95) -> tuple[float, float]:
        """Percentile interval of a candidate's score."""
        low, high = np.quantile(self.scores[:, candidate], [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)


def resample(score: Floats, tie_break: Floats, smooth: Floats, count: int, seed: int) -> Resamples:
    """Draw prompts `count` times and choose each time.

    Args:
        score: [A, P]
        tie_break: [A, P]
        smooth: applied to the sums of scores [A, A]
    """
    generator = np.random.default_rng(seed)
    candidates, prompts = score.shape
    scores, winners = np.empty((count, candidates)), np.empty(count, dtype=np.intp)
    step = max(1, CELLS_AT_ONCE // prompts)
    for start in range(0, count, step):
        part = slice(start, min(start + step, count))
        times = generator.multinomial(prompts, np.full(prompts, 1 / prompts), size=part.stop - start)  # [b, P]
        scores[part] = times @ score.T @ smooth.T
        winners[part] = choose(scores[part], times @ tie_break.T)
    return Resamples(scores, winners)
