"""How likely is it that the choice stays as it is when the remaining prompts are answered too?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from adamms.runs.responses import comparison_set
from adamms.selecting.criteria.criterion import Floats, Metric, get_metric
from adamms.selecting.degeneracy import Limits
from adamms.selecting.divergence import Divergence, Endpoints, combine, measure
from adamms.selecting.resampling import DIGITS, choose, smoother
from adamms.selecting.selection import select

DRAWS = 1000
UNSEEN = 0.5
"""The weight, in prompts, of a difference between neighbours that was perhaps not met yet."""


def confidence(
    partial: Mapping[float, Mapping[str, str]],
    remaining: int,
    metric: str | Metric = "either",
    endpoints: Endpoints = "exclude",
    *,
    smoothing: float = 0.0,
    prompts: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    parents: Sequence[Mapping[str, str]] = (),
    seed: int = 0,
) -> float:
    """In what share of imagined remainders the choice made from the prompts so far is the final one.

    A remainder is drawn from the prompts so far, each prompt with a weight that is random itself (uniform Dirichlet,
    as in the Bayesian bootstrap): the fewer prompts there are, the more the remainders differ from them. Differences
    that no prompt has shown yet may occur too.

    Args:
        partial: responses so far; only prompts that every candidate has answered are looked at.
        remaining: how many more prompts every candidate will have answered in the end.
        metric, endpoints, smoothing, prompts, limits, parents: as for `select`.

    Returns:
        0 to 1; 0 where nothing can be chosen.
    """
    metric = get_metric(metric) if isinstance(metric, str) else metric
    options = {"smoothing": smoothing, "prompts": prompts, "limits": limits, "parents": parents}
    selection = select(partial, metric, endpoints, bootstrap=0, **options)  # type: ignore[arg-type]
    if selection.alpha is None or remaining == 0:
        return float(selection.alpha is not None)
    comparison = comparison_set(partial, parents)
    divergence = measure(comparison, metric, endpoints)
    eligible = np.array([row for row, a in enumerate(comparison.alphas) if a not in selection.excluded], dtype=np.intp)
    score, both = divergence.score[eligible], divergence.both[eligible]
    seen = np.ones(score.shape[1])
    if not metric.by_neighbours and not np.nansum(both) and not np.ptp(np.round(score.sum(axis=1), DIGITS)):
        return 0.0  # nothing has told them apart so far
    unseen_score, unseen_both = (part[eligible] for part in _single_steps(divergence, endpoints))
    dice = np.random.default_rng(seed)
    weights = dice.dirichlet(np.concatenate([seen, np.full(unseen_score.shape[1], UNSEEN)]), DRAWS)
    times = dice.multinomial(remaining, weights)  # [draws, P + steps]
    times[:, : len(seen)] += 1
    score, both = np.concatenate([score, unseen_score], axis=1), np.concatenate([both, unseen_both], axis=1)
    winners = choose(times @ score.T @ smoother(eligible, smoothing).T, times @ both.T)
    chosen = [comparison.alphas[row] for row in eligible].index(selection.alpha)
    return float((winners == chosen).mean())


def _single_steps(divergence: Divergence, endpoints: Endpoints) -> tuple[Floats, Floats]:
    """Scores and tie-breakers of imagined prompts, each with one difference, between one pair of neighbours. [A, A - 1]

    Criteria that do not look at neighbours only have none.
    """
    steps = np.eye(len(divergence.alphas) - 1)
    none = np.full((1, steps.shape[1]), np.nan)
    left, right = np.concatenate([none, steps]), np.concatenate([steps, none])
    score, both = combine(divergence.metric, left, right, endpoints)
    if not divergence.metric.by_neighbours:
        return score[:, :0], both[:, :0]
    return score, both
