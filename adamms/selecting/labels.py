"""A few labelled prompts beside many unlabelled ones: labels leave the candidates that they cannot tell from the best,
and the criterion chooses among those."""

from collections.abc import Mapping, Sequence

import numpy as np

from adamms.selecting.criteria.criterion import Floats

Marks = Mapping[float, Sequence[bool]]
"""candidate's value -> which of the labelled prompts it answers right, in their order; [L] each"""


def not_kept(marks: Marks, alone: bool = False) -> dict[float, str]:
    """Why labels leave out a candidate: its accuracy is more than one standard error below the best one's; where labels
    decide alone, below it at all.

    The standard error is that of the mean of the differences, prompt by prompt (paired). Of equally good ones the
    lowest is the best.
    """
    shares = accuracies(marks)
    best = min(shares, key=lambda value: (-shares[value], value))
    return {
        value: f"labels: {100 * shares[value]:.0f} % right, the best {100 * shares[best]:.0f} %"
        for value, answered in marks.items()
        if _is_behind(np.asarray(marks[best], dtype=np.float64) - np.asarray(answered, dtype=np.float64), 1 - alone)
    }


def count_and_best(marks: Marks) -> tuple[int, float]:
    """How many labelled prompts there are, and what the best candidate has right of them, in percent."""
    return len(next(iter(marks.values()))), 100 * max(accuracies(marks).values())


def accuracies(marks: Marks) -> dict[float, float]:
    """Every candidate's share of right answers, 0 to 1."""
    return {value: float(np.mean(answered)) for value, answered in marks.items()}


def _is_behind(differences: Floats, errors: int) -> bool:
    """[L]"""
    if len(differences) < 2:
        return bool(differences.sum() > 0)
    return bool(differences.mean() > errors * differences.std(ddof=1) / np.sqrt(len(differences)) + 1e-12)
