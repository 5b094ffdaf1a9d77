"""Edit distance between neighbours' answers: a small change of wording counts less than another answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rapidfuzz.distance import Levenshtein

from adamms.selecting.criteria.criterion import Criterion, Floats, register
from adamms.selecting.normalize import plain


def edits(left: Sequence[str], right: Sequence[str]) -> Floats:
    """Levenshtein distance divided by the length of the longer answer. [P], [P] -> [P]"""
    pairs = zip(map(plain, left), map(plain, right), strict=True)
    return np.array([Levenshtein.normalized_distance(a, b) for a, b in pairs], dtype=np.float64)


register(Criterion("edit", edits, combine="sum"))
