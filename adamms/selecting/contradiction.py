"""Base and donor that contradict each other: what one of them finds likelier than the chosen answers, the other finds
less likely. Which of them is right, no criterion knows; on such pairs none was near the best (docs/evidence.md).
"""

from collections.abc import Iterator

import numpy as np

from adamms.runs.record import Response
from adamms.selecting.answer_table import AnswerTable
from adamms.selecting.criteria.criterion import Floats

FACTOR = 10.0
"""How much likelier, and how much less likely, an answer has to be: times a token (geometric mean)."""
SHARE = 0.1
"""On this share of the prompts, or more, parents contradict each other enough to be told.

Both were set on six pairs from a real language model (seeds 11 and 12 of conf/criteria-real.yaml) and on strong-13."""


def contradicted(table: AnswerTable, chosen: int) -> int:
    """On how many prompts some candidate gives an answer that one parent finds `FACTOR` times likelier than the chosen
    candidate's, and another parent as much less likely; 0 where the parents did not score all answers.

    Args:
        chosen: the chosen candidate's row.
    """
    scores = _by_parents(table)
    if scores is None:
        return 0
    likelier = (scores - scores[chosen]) / np.log(FACTOR)
    return int(((likelier > 1).any(axis=2) & (likelier < -1).any(axis=2)).any(axis=0).sum())


def matters(count: int, prompts: int) -> bool:
    """Whether parents that contradict each other on so many prompts are told, and asked less than labels."""
    return count >= max(1, SHARE * prompts)


def told_of(count: int, prompts: int, with_labels: bool) -> Iterator[str]:
    """A warning where it matters."""
    if not matters(count, prompts):
        return
    told = (
        f"base and donor contradict each other on {count} of {prompts} prompts: what one of them finds "
        f"{FACTOR:g} times likelier than the chosen answer, a token, the other finds as much less likely; "
    )
    if with_labels:
        yield f"{told}so the labels alone decide, and the criterion only between candidates that they find equally good"
    else:
        yield f"{told}which of them is right, only labels can tell"


def _by_parents(table: AnswerTable) -> Floats | None:
    """Mean log-probabilities a token, as the parents hold the candidates' answers; [C, P, N]."""
    found = [[answer.by_parents if isinstance(answer, Response) else None for answer in row] for row in table.answers]
    if any(scores is None for row in found for scores in row):
        return None
    return np.array(found, dtype=np.float64)
