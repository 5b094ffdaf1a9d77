"""How far a choice can be trusted, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from adamms.runs.responses import ALPHA_DIGITS, Comparison, format_alpha
from adamms.selecting.criteria.criterion import Floats
from adamms.selecting.divergence import Divergence
from adamms.selecting.resampling import DIGITS, Resamples

RIVAL = 0.1
"""A candidate is a rival when it does at least as well as the chosen one in this share of the resamples."""
FEW_PROMPTS = 10
"""Fewer prompts than this decide nothing."""
NO_PLATEAU = 0.2
"""Where even the most stable candidate changes this much of what it could, there is no plateau to be on.

Set on tasks of earlier tiny pairs. On 99 tasks of nine others (`make criteria`) it marks 32 of the 47 choices by
`either` that are more than 2 points behind the best candidate, and 18 of the 52 that are not."""


def judge(alphas: Sequence[float], resamples: Resamples, winner: int, prompts: int) -> str:
    """What the resamples say about the winner. `alphas` are the candidates that could be chosen."""
    chosen = format_alpha(alphas[winner])
    if len(alphas) == 1:
        return f"{chosen} is the only candidate that can be chosen"
    scores = np.round(resamples.scores, DIGITS)
    rivals = (scores <= scores[:, [winner]]).mean(axis=0) >= RIVAL
    share = f"{chosen} is chosen in {100 * resamples.shares()[winner]:.0f} % of resamples"
    if prompts < FEW_PROMPTS:
        return f"too few prompts ({prompts}) to tell the candidates apart ({share})"
    if rivals.sum() > 1:  # the winner is its own rival
        return f"{_list(alphas, rivals)} cannot be told apart with {prompts} prompts ({share})"
    return f"{share} of {prompts} prompts"


def without_resampling(alphas: Sequence[float], scores: Floats, winner: int, prompts: int) -> str:
    """What can be said from the scores alone."""
    tied = np.round(scores, DIGITS) == np.round(scores[winner], DIGITS)
    if tied.sum() > 1:
        return f"{_list(alphas, tied)} have the same divergence with {_prompts(prompts)}"
    return f"{format_alpha(alphas[winner])} has the smallest divergence with {_prompts(prompts)} (not resampled)"


def warn(
    comparison: Comparison, divergence: Divergence, eligible: NDArray[np.intp], winner: int | None
) -> Iterator[str]:
    """What a reader should know before believing the choice. `winner` is a place in `eligible`."""
    if comparison.dropped:
        everybody = "candidate and the donor have" if comparison.parents else "candidate has"
        yield f"{_prompts(comparison.dropped)} left out: not every {everybody} answered them"
    steps = np.unique(np.round(np.diff(comparison.alphas), ALPHA_DIGITS - 1))
    if len(steps) > 1:
        sizes = " and ".join(map(format_alpha, (steps.min(), steps.max())))
        yield f"alphas are not evenly spaced (steps between {sizes}): a longer step changes more answers"
    if winner is None:
        return
    if not np.nansum(divergence.both):
        yield "every candidate gives the same answers: nothing tells them apart"
    else:
        yield from _no_plateau(divergence, eligible[winner])
    totals = np.round(divergence.score[eligible].sum(axis=1), DIGITS)
    end = _falls_towards_an_end(totals, winner)
    if end:
        chosen = format_alpha(comparison.alphas[eligible[winner]])
        what = "divergence" if divergence.metric.by_neighbours else "score"
        yield (
            f"the {what} falls all the way to {chosen}, the {end} alpha that can be chosen; "
            "the best one may lie beyond it"
        )


def _no_plateau(divergence: Divergence, row: np.intp) -> Iterator[str]:
    largest = divergence.metric.largest
    if divergence.metric.by_neighbours:
        mean = np.round(divergence.score[row].sum(), DIGITS) / divergence.score.shape[1]
        if mean >= NO_PLATEAU * largest:
            yield f"no plateau: even the chosen candidate's divergence is {mean:.2f} a prompt, of {largest:.0f} at most"
        return
    changing = float((np.nan_to_num(divergence.both[row]) > 0).mean())
    if changing >= NO_PLATEAU:
        yield f"no plateau: {100 * changing:.0f} % of the chosen candidate's answers are not those of a neighbour"


def _falls_towards_an_end(totals: Floats, winner: int) -> str:
    """`smallest` or `largest` when the scores fall strictly towards the winner at that end."""
    steps = np.diff(totals)
    if len(steps) >= 2 and winner == 0 and (steps > 0).all():
        return "smallest"
    return "largest" if len(steps) >= 2 and winner == len(steps) and (steps < 0).all() else ""


def _list(alphas: Sequence[float], which: NDArray[np.bool_]) -> str:
    """`0.1, 0.2 and 0.3`"""
    names = [format_alpha(alpha) for alpha, named in zip(alphas, which, strict=True) if named]
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _prompts(count: int) -> str:
    return f"{count} prompt{'' if count == 1 else 's'}"
