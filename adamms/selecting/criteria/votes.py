"""Criteria that look at all candidates at once: does an answer agree with the majority, or with the donor?"""

from collections import Counter

import numpy as np

from adamms.errors import UserError
from adamms.selecting.answer_table import AnswerTable
from adamms.selecting.criteria.changes import meanings_differ
from adamms.selecting.criteria.criterion import Criterion, Floats, register
from adamms.support.normalize import normalize_answer


def differs_from_most(table: AnswerTable) -> Floats:
    """0 where an answer is the one that most candidates and parents give, else 1; [C, P].

    Where n answers are equally frequent, each of them gets 1 - 1/n.
    """
    return np.array([_lost_votes(column) for column in zip(*table.answers, *table.parents, strict=True)]).T[
        : len(table.values)
    ]


def _lost_votes(answers: tuple[str, ...]) -> list[float]:
    """The scores of all answers to one prompt."""
    normalized = [normalize_answer(answer) for answer in answers]
    votes = Counter(normalized)
    most = max(votes.values())
    leading = sum(count == most for count in votes.values())
    return [1 - 1 / leading if votes[answer] == most else 1.0 for answer in normalized]


def differs_from_donor(table: AnswerTable) -> Floats:
    """0 where an answer is the donor's own, else 1; [C, P].

    Raises:
        UserError: the donor's answers were not given.
    """
    if not table.parents:
        raise UserError(
            "metric donor compares with the donor's own answers, and none were given: a search lets the donor answer "
            "by itself, `adamms select` takes them with --donor"
        )
    return np.array([meanings_differ(row, table.parents[0]) for row in table.answers])


MOST, DONORS = "answers unlike those of most", "answers unlike the donor's own"
register(Criterion("plurality", meanings_differ, combine="sum", overall=differs_from_most, asks_donor=True, words=MOST))
register(
    Criterion(
        "donor",
        meanings_differ,
        combine="sum",
        overall=differs_from_donor,
        absolute=True,
        asks_donor=True,
        words=DONORS,
    )
)
