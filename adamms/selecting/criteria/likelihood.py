"""Criteria made of the engine's log-probabilities: how sure a candidate is, and how far neighbours are apart."""

from collections.abc import Sequence

import numpy as np

from adamms.errors import UserError
from adamms.runs.record import Response
from adamms.selecting.answer_table import AnswerTable
from adamms.selecting.criteria.changes import meanings_differ
from adamms.selecting.criteria.criterion import Criterion, Floats, register
from adamms.support.normalize import plain

SMALLEST = 1e-6
"""Probabilities are kept this far from 0 and 1: stored log-probabilities are rounded, and 0 has no logarithm."""


def unsureness(table: AnswerTable) -> Floats:
    """1 - the geometric mean of the probabilities of an answer's tokens; [C, P], from 0 to 1.

    What entropy minimisation lowers (AdaMerging, Yang et al., ICLR 2024), computed on greedy answers.
    """
    return np.array([[_unsure(answer) for answer in row] for row in table.answers], dtype=np.float64)


def _unsure(answer: str) -> float:
    logprobs = _logprobs(answer)
    return 1 - float(np.exp(np.mean(logprobs))) if logprobs else 0.0


def implausibility(table: AnswerTable) -> Floats:
    """1 - the geometric mean of the probabilities that base and donor give to the tokens of an answer; [C, P], from 0
    to 1. Each parent's mean is over the answer's tokens as it reads them, so that tokenizers may differ."""
    return np.array([[_implausible(answer) for answer in row] for row in table.answers], dtype=np.float64)


def _implausible(answer: str) -> float:
    if not isinstance(answer, Response) or answer.by_parents is None:
        raise UserError(
            "parents needs to know how probable base and donor hold these answers: a search lets both score them, and "
            "`adamms select` finds the scores in the search's folder; choose another metric where there is none"
        )
    return 1 - float(np.exp(np.mean(answer.by_parents)))


def kl_divergences(left: Sequence[str], right: Sequence[str]) -> Floats:
    """Token-level Kullback-Leibler divergence d of two candidates that give the same answer, as 1 - exp(-d); 1 where
    they answer differently. [P], [P] -> [P]

    Of each token's distribution only the chosen token's probability is known, so all other tokens count as one outcome:
    this is a lower bound of the true divergence (data processing inequality). Symmetric: the mean of both directions.
    """
    return np.array([_kl_divergence(a, b) for a, b in zip(left, right, strict=True)], dtype=np.float64)


def _kl_divergence(left: str, right: str) -> float:
    p, q = (np.exp(np.array(_logprobs(answer))) for answer in (left, right))
    if plain(left) != plain(right) or len(p) != len(q):
        return 1.0
    p, q = p.clip(SMALLEST, 1 - SMALLEST), q.clip(SMALLEST, 1 - SMALLEST)
    both_directions = 0.5 * ((p - q) * (np.log(p / q) - np.log((1 - p) / (1 - q))))
    return float(1 - np.exp(-both_directions.mean())) if len(p) else 0.0


def _logprobs(answer: str) -> tuple[float, ...]:
    if not isinstance(answer, Response) or answer.logprobs is None:
        raise UserError(
            "logprob and kl need log-probabilities, which these answers do not have (`logprobs` in each line): "
            "take the answers of a search, or choose another metric"
        )
    return answer.logprobs


register(
    Criterion(
        "logprob",
        meanings_differ,
        combine="sum",
        overall=unsureness,
        asks_logprobs=True,
        absolute=True,
        words="how unsure of its answers",
    )
)
register(
    Criterion(
        "parents",
        meanings_differ,
        combine="sum",
        overall=implausibility,
        absolute=True,
        asks_scores=True,
        asks_logprobs=True,
        words="how improbable base and donor find its answers",
    )
)
register(
    Criterion(
        "kl",
        kl_divergences,
        combine="sum",
        asks_logprobs=True,
        words="how far the answers' probabilities moved",
    )
)
