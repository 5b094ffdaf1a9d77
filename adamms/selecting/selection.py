"""Which alpha: the sound candidate whose answers change least towards its neighbours, and how far to trust that.

Ties: of equal scores the one with the smaller total difference to both neighbours wins; if that is equal too, the
smaller alpha, which is nearer to the base.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adamms.errors import UserError
from adamms.runs.responses import Comparison, comparison_set, format_alpha
from adamms.selecting import verdict
from adamms.selecting.criteria.criterion import Floats, Metric, get_metric
from adamms.selecting.degeneracy import Degeneracy, Limits, inspect
from adamms.selecting.divergence import Divergence, Endpoints, measure
from adamms.selecting.resampling import Resamples, choose, resample, smoother

END_POINT = "end point: it has one neighbour only and is never chosen (unless endpoints is one_sided)"

Scores = dict[float, float | None]
"""alpha -> score; None where there is nothing to compare."""


@dataclass(frozen=True)
class Selection:
    """The chosen alpha, everything it was chosen from, and what speaks against it."""

    alpha: float | None
    """None when every candidate that could be chosen is degenerate."""
    metric: str
    endpoints: Endpoints
    smoothing: float
    scores: Scores
    """Divergence of every candidate, summed over the prompts (before smoothing)."""
    smoothed: Scores
    """What was minimised where smoothing is on; else the same as `scores`, without the candidates left out."""
    left: Scores
    """Difference to the next smaller alpha."""
    right: Scores
    """Difference to the next larger alpha."""
    excluded: dict[float, str]
    """Candidates that could not be chosen, and why."""
    degeneracy: dict[float, Degeneracy]
    """What the guard found, for every candidate."""
    bootstrap: dict[float, float]
    """How often each candidate is chosen from resampled prompts; empty without resampling."""
    interval: tuple[float, float] | None
    """95 % interval of the chosen candidate's score (the smoothed one, where smoothing is on)."""
    intervals: dict[float, tuple[float, float]]
    """95 % intervals of all scores (before smoothing); empty without resampling."""
    prompts_used: int
    prompts_dropped: int
    """Left out because some candidate has not answered them."""
    verdict: str
    """How far the choice is supported, in words."""
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data for `selection.json`: keys like `"0.3"`, whole numbers as integers, None where there is none."""
        return {
            "alpha": self.alpha,
            "metric": self.metric,
            "endpoints": self.endpoints,
            "smoothing": self.smoothing,
            "scores": _keyed(self.scores),
            "smoothed": _keyed(self.smoothed),
            "left": _keyed(self.left),
            "right": _keyed(self.right),
            "excluded": {format_alpha(alpha): reason for alpha, reason in self.excluded.items()},
            "degeneracy": {format_alpha(alpha): dict(found.rates) for alpha, found in self.degeneracy.items()},
            "bootstrap": {format_alpha(alpha): share for alpha, share in self.bootstrap.items()},
            "interval": None if self.interval is None else [_whole(bound) for bound in self.interval],
            "intervals": {format_alpha(alpha): list(map(_whole, bounds)) for alpha, bounds in self.intervals.items()},
            "prompts": {"used": self.prompts_used, "dropped": self.prompts_dropped},
            "verdict": self.verdict,
            "warnings": list(self.warnings),
        }


def select(
    responses: Mapping[float, Mapping[str, str]],
    metric: str | Metric = "either",
    endpoints: Endpoints = "exclude",
    *,
    smoothing: float = 0.0,
    bootstrap: int = 1000,
    seed: int = 0,
    prompts: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    parents: Sequence[Mapping[str, str]] = (),
) -> Selection:
    """Choose an alpha from responses alone.

    Args:
        responses: alpha -> prompt_id -> response; only prompts that every alpha has answered are compared.
        metric: a registered metric or its name.
        endpoints: `exclude` (the paper) or `one_sided`.
        smoothing: how much of a score is its neighbours' average; 0 (the paper) to 1.
        bootstrap: how many resamples of the prompts; 0 for none.
        seed: of the resamples.
        prompts: prompt_id -> text; lets the guard see answers that echo their prompt.
        limits: of the guard.
        parents: answers of parents that are no candidates, such as the donor in its own architecture; `plurality`
            lets them vote.

    Raises:
        UserError: too few candidates, no common prompt, an unknown metric, a number out of range.
    """
    check_smoothing(smoothing)
    if bootstrap < 0:
        raise UserError(f"bootstrap: {bootstrap} is negative; 0 is none")
    comparison = comparison_set(responses, parents)
    divergence = measure(comparison, get_metric(metric) if isinstance(metric, str) else metric, endpoints)
    found = inspect(comparison, prompts, limits)
    excluded = _excluded(divergence, found)
    eligible = np.array([row for row, alpha in enumerate(comparison.alphas) if alpha not in excluded], dtype=np.intp)
    contest = _contest(divergence, eligible, smoothing, bootstrap, seed) if len(eligible) else None
    alphas = [comparison.alphas[row] for row in eligible]
    return Selection(
        alpha=None if contest is None else alphas[contest.winner],
        metric=divergence.metric.name,
        endpoints=endpoints,
        smoothing=smoothing,
        scores=_totals(divergence, divergence.score),
        smoothed={} if contest is None else dict(zip(alphas, map(float, contest.scores), strict=True)),
        left=_totals(divergence, divergence.left),
        right=_totals(divergence, divergence.right),
        excluded=excluded,
        degeneracy=found,
        bootstrap={} if not bootstrap or contest is None else _shares(comparison, alphas, contest),
        interval=contest.resamples.interval(contest.winner) if bootstrap and contest else None,
        intervals=_intervals(divergence, bootstrap, seed) if bootstrap else {},
        prompts_used=len(comparison.prompt_ids),
        prompts_dropped=comparison.dropped,
        verdict=_verdict(comparison, alphas, contest, bootstrap),
        warnings=tuple(verdict.warn(comparison, divergence, eligible, None if contest is None else contest.winner)),
    )


@dataclass(frozen=True)
class _Contest:
    """The candidates that can be chosen: their scores [A], the winner's place among them, and the resamples."""

    scores: Floats
    winner: int
    resamples: Resamples


def _contest(
    divergence: Divergence, eligible: NDArray[np.intp], smoothing: float, bootstrap: int, seed: int
) -> _Contest:
    score, both = divergence.score[eligible], divergence.both[eligible]
    smooth = smoother(eligible, smoothing)
    scores = smooth @ score.sum(axis=1)
    winner = int(choose(scores, both.sum(axis=1)))
    return _Contest(scores, winner, resample(score, both, smooth, bootstrap, seed))


def check_smoothing(smoothing: float) -> None:
    """Raise UserError for one out of range."""
    if not 0 <= smoothing <= 1:
        raise UserError(f"smoothing: {smoothing} is outside 0 to 1; 0 is none")


def _excluded(divergence: Divergence, found: Mapping[float, Degeneracy]) -> dict[float, str]:
    """Why candidates cannot be chosen: degenerate, or an end point."""
    reasons = {
        alpha: [*found[alpha].reasons, *([] if scored else [END_POINT])]
        for alpha, scored in zip(divergence.alphas, divergence.scored, strict=True)
    }
    return {alpha: "; ".join(why) for alpha, why in reasons.items() if why}


def _verdict(comparison: Comparison, alphas: list[float], contest: _Contest | None, bootstrap: int) -> str:
    prompts = len(comparison.prompt_ids)
    if contest is None:
        return "nothing can be chosen: every candidate that is no end point is degenerate"
    if not bootstrap:
        return verdict.without_resampling(alphas, contest.scores, contest.winner, prompts)
    return verdict.judge(alphas, contest.resamples, contest.winner, prompts)


def _intervals(divergence: Divergence, bootstrap: int, seed: int) -> dict[float, tuple[float, float]]:
    rows = np.flatnonzero(divergence.scored)
    drawn = resample(divergence.score[rows], divergence.both[rows], smoother(rows, 0.0), bootstrap, seed)
    return {divergence.alphas[row]: drawn.interval(place) for place, row in enumerate(rows)}


def _shares(comparison: Comparison, alphas: list[float], contest: _Contest) -> dict[float, float]:
    return dict.fromkeys(comparison.alphas, 0.0) | dict(
        zip(alphas, map(float, contest.resamples.shares()), strict=True)
    )


def _totals(divergence: Divergence, values: Floats) -> Scores:
    """Sums over the prompts. [A, P] -> alpha: sum"""
    sums = values.sum(axis=1)
    return {alpha: None if np.isnan(sum_) else float(sum_) for alpha, sum_ in zip(divergence.alphas, sums, strict=True)}


def _keyed(scores: Scores) -> dict[str, float | int | None]:
    return {format_alpha(alpha): None if score is None else _whole(score) for alpha, score in scores.items()}


def _whole(score: float) -> float | int:
    return int(score) if score.is_integer() else score
