"""Choosing the winner, and how the choice would vary with other prompts (bootstrap)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adamms.selecting.criteria.criterion import Floats

Rows = NDArray[np.bool_]
"""Which candidates; [C]"""

DIGITS = 9
"""Sums are rounded to so many digits before they are compared: the order of adding up must not break a tie."""
CELLS_AT_ONCE = 2_000_000


def winners_of(score: Floats, tie_break: Floats, eligible: Rows) -> NDArray[np.intp]:
    """The winner of each row of sums, [..., C] -> [...]: the eligible candidate with the smallest score; of equal ones
    that with the smallest tie-breaker; of those the lowest, which is the nearest to the base."""
    score = np.where(eligible, np.round(score, DIGITS), np.inf)
    leading = eligible & (score == score.min(axis=-1, keepdims=True))
    return np.asarray(np.argmin(np.where(leading, np.round(tie_break, DIGITS), np.inf), axis=-1))


@dataclass(frozen=True)
class Resamples:
    """What the same choice gives on B sets of prompts, each drawn with replacement from those that were answered."""

    scores: Floats
    """[B, C]; NaN for candidates without a score"""
    winners: NDArray[np.intp]
    """[B]"""

    def shares(self) -> Floats:
        """In what share of the sets each candidate wins. [C]"""
        count = np.bincount(self.winners, minlength=self.scores.shape[1])
        return np.asarray(count / max(len(self.winners), 1), dtype=np.float64)

    def interval(self, candidate: int, level: float = 0.95) -> tuple[float, float]:
        """Percentile interval of a candidate's score."""
        low, high = np.quantile(self.scores[:, candidate], [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)


def resample(score: Floats, tie_break: Floats, eligible: Rows, count: int, seed: int) -> Resamples:
    """Draw `count` sets of prompts and choose from each; score and tie_break are [C, P]."""
    generator = np.random.default_rng(seed)
    candidates, prompts = score.shape
    scores, winners = np.empty((count, candidates)), np.empty(count, dtype=np.intp)
    step = max(1, CELLS_AT_ONCE // prompts)
    for start in range(0, count, step):
        part = slice(start, min(start + step, count))
        times = generator.multinomial(prompts, np.full(prompts, 1 / prompts), size=part.stop - start)  # [b, P]
        scores[part] = times @ score.T
        winners[part] = winners_of(scores[part], times @ tie_break.T, eligible)
    return Resamples(scores, winners)
