"""How likely it is that the choice stays the same when the remaining prompts are answered too."""

from collections.abc import Mapping, Sequence

import numpy as np

from adamms.selecting.contest import Contest
from adamms.selecting.criteria import Criterion
from adamms.selecting.degeneracy import Limits
from adamms.selecting.divergence import Endpoints, endpoints_of, scores_of
from adamms.selecting.labels import Marks
from adamms.selecting.resampling import winners_of

DRAWS = 1000
UNSEEN = 0.5
"""How much, in prompts, an answer that changes between one pair of neighbours only weighs before any was seen."""


def confidence(
    partial: Mapping[float, Mapping[str, str]],
    remaining: int,
    criterion: str | Criterion = "either",
    endpoints: Endpoints = "auto",
    *,
    prompts: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    parents: Sequence[Mapping[str, str]] = (),
    marks: Marks | None = None,
    seed: int = 0,
) -> float:
    """In what share of simulated remainders the choice made from the prompts so far is the final one.

    A remainder is drawn from the prompts so far, each with a random weight (uniform Dirichlet, as in the Bayesian
    bootstrap): the fewer prompts there are, the more the remainders differ from them. Besides, answers may change
    between two neighbours that no prompt has told apart so far.

    Args:
        partial: responses so far; only prompts that every candidate has answered are used.
        remaining: how many more prompts every candidate is going to answer.
        criterion, endpoints, prompts, limits, parents, marks: as for `select`.

    Returns:
        0 to 1; 0 where nothing can be chosen.
    """
    contest = Contest.of(partial, criterion, endpoints, prompts, limits, parents, marks)
    if contest.winner is None or remaining == 0:
        return float(contest.winner is not None)
    divergence, eligible = contest.divergence, contest.eligible
    score, both = divergence.score, divergence.both
    seen = score.shape[1]
    if divergence.criterion.by_neighbours:
        # prompts whose answer changes once, between one pair of neighbours: [C, C - 1] each
        once = np.eye(len(eligible) - 1)
        ends = endpoints_of(divergence.criterion, endpoints, labels=bool(marks))
        _, _, unseen_score, unseen_both = scores_of(divergence.criterion, once, ends)
        score, both = np.concatenate([score, unseen_score], axis=1), np.concatenate([both, unseen_both], axis=1)
    elif not np.nansum(both[eligible]) and not np.ptp(contest.totals[eligible]):
        return 0.0  # nothing has told the candidates apart so far
    generator = np.random.default_rng(seed)
    weights = generator.dirichlet(np.where(np.arange(score.shape[1]) < seen, 1.0, UNSEEN), DRAWS)
    times = generator.multinomial(remaining, weights)  # [draws, P + unseen]
    times[:, :seen] += 1
    winners = winners_of(times @ score.T, times @ both.T, eligible)
    return float((winners == contest.winner).mean())
