"""Base and donor that contradict each other: what one of them finds likelier than the chosen answers, the other finds
less likely. Which of them is right, no criterion knows; on such pairs none was near the best (docs/evidence.md).
"""

from collections.abc import Iterator

import numpy as np

from adamms.runs.record import Response
from adamms.selecting.answer_table import AnswerTable
from adamms.selecting.criteria.criterion import Floats
from adamms.selecting.resampling import Rows

FACTOR = 10.0
"""How much likelier, and how much less likely, an answer has to be: times a token (geometric mean)."""
SHARE, FEWEST = 0.1, 2
"""On this share of the prompts, and on so many, they contradict each other enough to be told.

Set on six pairs from a real language model (seeds 11 and 12 of conf/criteria-real.yaml) and on strong-13."""


def contradictions(table: AnswerTable, chosen: int, others: Rows) -> int:
    """On how many prompts another candidate gives an answer that the base finds `FACTOR` times likelier than the chosen
    candidate's and a donor as much less likely, or the other way round; 0 where they did not score all answers.

    Args:
        chosen: the chosen candidate's row.
        others: which candidates it is compared with. [C]
    """
    scores = _by_parents(table)
    if scores is None:
        return 0
    likelier = (scores[others] - scores[chosen]) / np.log(FACTOR)
    base, donors = likelier[:, :, :1], likelier[:, :, 1:]
    opposed = ((base > 1) & (donors < -1)) | ((base < -1) & (donors > 1))
    return int(opposed.any(axis=(0, 2)).sum())


def matters(count: int, prompts: int) -> bool:
    """Whether base and donor contradict each other on enough prompts to be told, and to leave the choice to labels."""
    return count >= max(FEWEST, SHARE * prompts)


def told_of(count: int, prompts: int, with_labels: bool) -> Iterator[str]:
    """A warning where it matters."""
    if not matters(count, prompts):
        return
    chosen = "what the criterion alone would choose" if with_labels else "the chosen answer"
    told = (
        f"base and donor contradict each other on {count} of {prompts} prompts: what one of them finds "
        f"{FACTOR:g} times likelier than {chosen}, a token, the other finds as much less likely; "
    )
    if with_labels:
        yield f"{told}so the labels alone decide, and the criterion only between candidates that they find equally good"
    else:
        yield f"{told}which of them is right, only labels can tell"


def _by_parents(table: AnswerTable) -> Floats | None:
    """Mean log-probabilities a token, as base and donors hold the candidates' answers; [C, P, N]."""
    found = [[answer.by_parents if isinstance(answer, Response) else None for answer in row] for row in table.answers]
    if any(scores is None for row in found for scores in row):
        return None
    return np.array(found, dtype=np.float64)
