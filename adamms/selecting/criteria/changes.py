"""Criteria by the texts alone: does the answer change from one candidate to the next (the paper's two), and how far?"""

from collections.abc import Sequence

import numpy as np
from rapidfuzz.distance import Levenshtein

from adamms.selecting.criteria.criterion import Criterion, Floats, register
from adamms.support.normalize import normalize_answer, plain


def texts_differ(left: Sequence[str], right: Sequence[str]) -> Floats:
    """1 where two answers differ as texts (case and surrounding space aside), else 0. [P], [P] -> [P]"""
    return np.array([plain(a) != plain(b) for a, b in zip(left, right, strict=True)], dtype=np.float64)


def meanings_differ(left: Sequence[str], right: Sequence[str]) -> Floats:
    """Like `texts_differ`, but `A cat.` and `cat` are one answer, and so are `two` and `2`."""
    return np.array([normalize_answer(a) != normalize_answer(b) for a, b in zip(left, right, strict=True)], np.float64)


def edits(left: Sequence[str], right: Sequence[str]) -> Floats:
    """Levenshtein distance divided by the length of the longer answer: a small change of wording counts less."""
    pairs = zip(map(plain, left), map(plain, right), strict=True)
    return np.array([Levenshtein.normalized_distance(a, b) for a, b in pairs], dtype=np.float64)


register(
    Criterion("either", texts_differ, combine="either", words="answers that changed")
)  # the paper's appendix B and its released code
register(
    Criterion("sum", texts_differ, combine="sum", words="answers that changed, both sides added")
)  # the paper's Algorithm 1
register(Criterion("edit", edits, combine="sum", words="how much of the answers' text changed"))
