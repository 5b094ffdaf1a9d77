"""What the engine's own log-probabilities say of candidates: how sure they are, and how far neighbours are apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from adamms.errors import UserError
from adamms.runs.responses import Response
from adamms.selecting.criteria.criterion import Floats, add_overall, metric
from adamms.selecting.normalize import plain

SURE = 1e-6  # log-probabilities are stored rounded; nothing is more certain than this


def _unsure(rows: Sequence[Sequence[str]], parents: Sequence[Sequence[str]]) -> Floats:
    """1 - the geometric mean of the probabilities of an answer's tokens: mean token log-probability, from 0 to 1.

    What entropy minimisation (AdaMerging, Yang et al., ICLR 2024) lowers, seen on greedy answers. [A][P] -> [A, P]
    """
    means = [[np.mean(_logprobs(answer)) if _logprobs(answer) else 0.0 for answer in row] for row in rows]
    return 1 - np.exp(np.array(means, dtype=np.float64))


add_overall("logprob", _unsure)


@metric("kl", combine="sum")
def _divergence(left: Sequence[str], right: Sequence[str]) -> Floats:
    """Token-level Kullback-Leibler divergence between two candidates along the answer that both give, from 0 to 1; 1
    where they answer differently.

    Of each distribution only the chosen token's probability is known, so the others count as one outcome: a lower bound
    of the true divergence (data processing inequality). Symmetric: the mean of both directions, d -> 1 - exp(-d).
    """
    return np.array([_apart(a, b) for a, b in zip(left, right, strict=True)], dtype=np.float64)


def _apart(left: str, right: str) -> float:
    p, q = (np.exp(np.array(_logprobs(answer))) for answer in (left, right))
    if plain(left) != plain(right) or len(p) != len(q):
        return 1.0
    p, q = p.clip(SURE, 1 - SURE), q.clip(SURE, 1 - SURE)
    both_ways = 0.5 * ((p - q) * (np.log(p / q) - np.log((1 - p) / (1 - q))))
    return float(1 - np.exp(-both_ways.mean())) if len(p) else 0.0


def _logprobs(answer: str) -> tuple[float, ...]:
    if not isinstance(answer, Response) or answer.logprobs is None:
        raise UserError(
            "logprob and kl need log-probabilities, which these answers have none of (`logprobs` in each line); let "
            "pipelines/search.py give them, or choose another metric"
        )
    return answer.logprobs
