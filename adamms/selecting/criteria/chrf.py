"""Character n-gram F-score, after chrF (Popović 2015), made symmetric: here neither text is the reference."""

from __future__ import annotations

from collections import Counter

ORDER = 6


def chrf_difference(left: str, right: str) -> float:
    """1 - chrF1: 0 for texts that are equal without spaces, 1 for texts that share no character.

    Precision and recall are averaged over the n-gram lengths that a text is long enough for, then combined with
    beta = 1 (chrF2 would weigh one text more than the other).
    """
    left, right = "".join(left.split()), "".join(right.split())
    if left == right:
        return 0.0
    recalls, precisions = [], []
    for n in range(1, min(ORDER, max(len(left), len(right))) + 1):
        left_grams, right_grams = _grams(left, n), _grams(right, n)
        shared = (left_grams & right_grams).total()
        recalls.append(shared / max(left_grams.total(), 1))
        precisions.append(shared / max(right_grams.total(), 1))
    recall, precision = sum(recalls) / len(recalls), sum(precisions) / len(precisions)
    return 1 - 2 * recall * precision / (recall + precision) if recall and precision else 1.0


def _grams(text: str, n: int) -> Counter[str]:
    return Counter(text[start : start + n] for start in range(len(text) - n + 1))
