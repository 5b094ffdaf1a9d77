"""How likely is it that the choice stays as it is when the remaining prompts are answered too?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from adamms.searching.degeneracy import Limits
from adamms.searching.divergence import Endpoints, measure
from adamms.searching.metrics import Metric, get_metric
from adamms.searching.resampling import choose, smoother
from adamms.searching.responses import comparison_set
from adamms.searching.selection import select

DRAWS = 1000


def confidence(
    partial: Mapping[float, Mapping[str, str]],
    remaining: int,
    metric: str | Metric = "either",
    endpoints: Endpoints = "exclude",
    *,
    smoothing: float = 0.0,
    prompts: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    seed: int = 0,
) -> float:
    """In what share of imagined remainders the choice made from the prompts so far is the final one.

    A remainder is drawn from the prompts so far, each prompt with a weight that is random itself (uniform Dirichlet,
    as in the Bayesian bootstrap): the fewer prompts there are, the more the remainders differ from them.

    Args:
        partial: responses so far; only prompts that every candidate has answered are looked at.
        remaining: how many more prompts every candidate will have answered in the end.
        metric, endpoints, smoothing, prompts, limits: as for `select`.

    Returns:
        0 to 1; 0 where nothing can be chosen.
    """
    metric = get_metric(metric) if isinstance(metric, str) else metric
    options = {"smoothing": smoothing, "prompts": prompts, "limits": limits}
    selection = select(partial, metric, endpoints, bootstrap=0, **options)  # type: ignore[arg-type]
    if selection.alpha is None or remaining == 0:
        return float(selection.alpha is not None)
    comparison = comparison_set(partial)
    divergence = measure(comparison, metric, endpoints)
    eligible = np.array([row for row, a in enumerate(comparison.alphas) if a not in selection.excluded], dtype=np.intp)
    score, both = divergence.score[eligible], divergence.both[eligible]
    dice = np.random.default_rng(seed)
    weights = dice.dirichlet(np.ones(score.shape[1]), DRAWS)
    times = 1 + dice.multinomial(remaining, weights)  # [draws, P]
    winners = choose(times @ score.T @ smoother(eligible, smoothing).T, times @ both.T)
    chosen = [comparison.alphas[row] for row in eligible].index(selection.alpha)
    return float((winners == chosen).mean())
