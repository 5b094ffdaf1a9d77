"""Is the choice decided before every prompt has been answered? An exact bound for metrics that count.

A prompt still to be answered can make any two neighbours differ or agree. So the most that it can add to one
candidate's score and not to another's is found by trying every pattern of differences around the two, and a lead that
all remaining prompts together cannot make up is final. The guard is taken at its worst: a candidate that could still
turn out to be degenerate is not declared the winner, and one that could still turn out to be sound is not written off.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from adamms.errors import UserError
from adamms.runs.responses import Comparison, comparison_set
from adamms.selecting.criteria.criterion import Metric, get_metric
from adamms.selecting.degeneracy import (
    Limits,
    find_faults,
    is_foreign,
    most_common,
    scripts_of,
    taken_over,
    too_constant,
)
from adamms.selecting.divergence import Divergence, Endpoints, combine, measure
from adamms.selecting.selection import select

Which = NDArray[np.bool_]
"""[A]"""


def decided(
    partial: Mapping[float, Mapping[str, str]],
    remaining: int,
    metric: str | Metric = "either",
    endpoints: Endpoints = "exclude",
    *,
    prompts: Mapping[str, str] | None = None,
    limits: Limits | None = None,
) -> float | None:
    """The alpha that `select` (without smoothing) will choose whatever the remaining answers are; None: not yet known.

    Args:
        partial: responses so far; only prompts that every candidate has answered are looked at.
        remaining: how many more prompts every candidate will have answered in the end.
        metric, endpoints, prompts, limits: as for `select`.

    Raises:
        UserError: the metric does not count; otherwise as `select`.
    """
    metric = get_metric(metric) if isinstance(metric, str) else metric
    if not metric.counts:
        raise UserError(f"stopping early needs a metric that counts (either, sum, answer), not {metric.name}")
    if not partial or not set.intersection(*map(set, partial.values())):
        return None
    if remaining == 0:
        return select(partial, metric, endpoints, bootstrap=0, prompts=prompts, limits=limits).alpha
    comparison = comparison_set(partial)
    divergence = measure(comparison, metric, endpoints)
    doubtful, lost = _guard(comparison, remaining, prompts, limits or Limits())
    rivals = [int(rival) for rival in np.flatnonzero(divergence.scored & ~lost)]
    for candidate in map(int, np.flatnonzero(divergence.scored & ~doubtful)):
        if all(_beats(divergence, endpoints, candidate, rival, remaining) for rival in rivals if rival != candidate):
            return comparison.alphas[candidate]
    return None


def _beats(divergence: Divergence, endpoints: Endpoints, one: int, other: int, remaining: int) -> bool:
    """Whether `one` comes before `other` whatever the remaining answers are: by score, tie-breaker, or alpha."""
    patterns = _patterns(len(divergence.alphas), (one, other))
    none = np.full((1, patterns.shape[1]), np.nan)
    left, right = np.concatenate([none, patterns]), np.concatenate([patterns, none])
    score, both = combine(divergence.metric, left, right, endpoints)
    loss, tie_loss = score[one] - score[other], both[one] - both[other]  # of each pattern
    lead, tie_lead = ((v[other] - v[one]).sum() for v in (divergence.score, divergence.both))
    worst = loss.max()
    tie_worst = tie_loss[loss == worst].max()
    return bool((lead - remaining * worst, tie_lead - remaining * tie_worst, other - one) > (0, 0, 0))


def _patterns(candidates: int, around: tuple[int, int]) -> NDArray[np.float64]:
    """Every way in which neighbours next to two candidates may differ on a prompt. [A - 1 steps, patterns]"""
    steps = sorted({step for place in around for step in (place - 1, place) if 0 <= step < candidates - 1})
    patterns = np.zeros((candidates - 1, 2 ** len(steps)))
    patterns[steps] = np.array(list(itertools.product((0.0, 1.0), repeat=len(steps)))).T
    return patterns


def _guard(
    comparison: Comparison, remaining: int, prompts: Mapping[str, str] | None, limits: Limits
) -> tuple[Which, Which]:
    """Which candidates may be degenerate in the end, and which will be, whatever the remaining answers are."""
    final = len(comparison.prompt_ids) + remaining
    faults = find_faults(comparison, prompts)
    del faults["foreign"]  # depends on what the lowest alpha has yet to write
    counts = {fault: found.sum(axis=1) for fault, found in faults.items()}
    may = [taken_over(count + remaining, int(count.min()), final, limits) for count in counts.values()]
    home = scripts_of(comparison.answers[0], to_come=remaining)
    foreign = np.array([sum(is_foreign(answer, home) for answer in row) for row in comparison.answers])
    may.append(taken_over(foreign + remaining, 0, final, limits))
    same = most_common(comparison)
    may.append(too_constant(same + remaining, int(same.min()), final, limits))
    lost = [count > limits.majority * final for count in counts.values()]
    return np.any(may, axis=0), np.any(lost, axis=0)
