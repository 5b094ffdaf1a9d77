"""How much two neighbouring candidates answer differently, prompt by prompt: the registry, and what comes with it.

A metric is one function from two candidates' answers to one difference per prompt; everything else (left and right
parts, resampling, smoothing, early stop) follows from that. Add one:

    @metric("length", combine="sum")
    def length(left: Sequence[str], right: Sequence[str]) -> Floats: ...

A criterion may also look at all candidates at once, and at the donor (`plurality`, `donor`); `either+plurality` is the
mean of both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from adamms.errors import UserError
from adamms.selecting.criteria.chrf import chrf_difference
from adamms.selecting.criteria.edit_distance import edit_difference
from adamms.selecting.normalize import normalize_answer, plain

Floats = NDArray[np.float64]
Difference = Callable[[Sequence[str], Sequence[str]], Floats]
"""Two candidates' answers to the same prompts [P], [P] -> their differences [P], each from 0 (same) to 1."""

Combine = Literal["either", "sum"]
Overall = Callable[[Sequence[Sequence[str]], Sequence[Sequence[str]]], Floats]
"""Answers of all candidates [A][P] and of parents that are none [N][P] -> every candidate's score [A, P]."""


@dataclass(frozen=True)
class Metric:
    """A difference between neighbours, and how a candidate's two differences make its score."""

    name: str
    difference: Difference
    combine: Combine
    """`sum`: both neighbours count. `either`: the larger counts, so that a prompt is counted once."""
    counts: bool
    """Differences are 0 or 1: scores are whole numbers, and the early stop is exact."""
    overall: Overall | None = None
    """What is minimised instead of the differences to the neighbours, from 0 to 1; those still break ties."""
    parts: tuple[Metric, ...] = ()
    """The mean of these is minimised."""
    asks_donor: bool = False
    """It looks at the donor's own answers: a search lets the donor, in its own architecture, answer the prompts too."""

    def score(self, left: Floats, right: Floats) -> Floats:
        """A candidate's score on each prompt from the differences to both neighbours, all of one shape."""
        return left + right if self.combine == "sum" else np.maximum(left, right)

    @property
    def by_neighbours(self) -> bool:
        """Whether a candidate's score is made of the differences to its neighbours and nothing else."""
        return self.overall is None and not self.parts

    @property
    def largest(self) -> float:
        """The largest score that one prompt can add."""
        return 2.0 if self.combine == "sum" and self.overall is None else 1.0


_REGISTRY: dict[str, Metric] = {}


def metric(name: str, *, combine: Combine, counts: bool = False) -> Callable[[Difference], Difference]:
    """Register the decorated difference under a name.

    Raises:
        ValueError: the name is taken.
    """

    def register(difference: Difference) -> Difference:
        if name in _REGISTRY or name == "embedding":
            raise ValueError(f"a metric named {name!r} exists already")
        _REGISTRY[name] = Metric(name, difference, combine, counts)
        return difference

    return register


def metric_names() -> list[str]:
    """All metrics that can be asked for."""
    import adamms.selecting.criteria.likelihood  # noqa: F401  (registers its metrics)

    return [*_REGISTRY, "embedding"]


def get_metric(name: str) -> Metric:
    """The metric of that name; `embedding:MODEL` is the embedding metric with another sentence-transformers model.

    `a+b` is the mean of two (or more), each as a share of the largest score it may have.

    Raises:
        UserError: there is none.
    """
    if "+" in name:
        parts = tuple(map(get_metric, name.split("+")))
        asks_donor = any(part.asks_donor for part in parts)
        return Metric(name, parts[0].difference, "either", counts=False, parts=parts, asks_donor=asks_donor)
    kind, _, model = name.partition(":")
    if kind == "embedding":
        from adamms.selecting.criteria.embedding import DEFAULT_MODEL, embedding_metric

        return embedding_metric(model or DEFAULT_MODEL)
    if name not in metric_names():
        raise UserError(f"no metric is named {name!r}; choose one of {', '.join(metric_names())}")
    return _REGISTRY[name]


def _each(function: Callable[[str, str], Any], left: Sequence[str], right: Sequence[str]) -> Floats:
    return np.array([float(function(a, b)) for a, b in zip(left, right, strict=True)], dtype=np.float64)


def _texts_differ(left: Sequence[str], right: Sequence[str]) -> Floats:
    return _each(lambda a, b: plain(a) != plain(b), left, right)


metric("either", combine="either", counts=True)(_texts_differ)  # the paper's appendix B and released code
metric("sum", combine="sum", counts=True)(_texts_differ)  # the paper's Algorithm 1


@metric("answer", combine="either", counts=True)
def _answers_differ(left: Sequence[str], right: Sequence[str]) -> Floats:
    """Like `either`, but `A cat.` and `cat` are the same answer."""
    return _each(lambda a, b: normalize_answer(a) != normalize_answer(b), left, right)


@metric("edit", combine="sum")
def _edits(left: Sequence[str], right: Sequence[str]) -> Floats:
    """Edit distance over the length of the longer answer."""
    return _each(lambda a, b: edit_difference(plain(a), plain(b)), left, right)


@metric("chrf", combine="sum")
def _chrf(left: Sequence[str], right: Sequence[str]) -> Floats:
    """1 - character n-gram F1."""
    return _each(lambda a, b: chrf_difference(plain(a), plain(b)), left, right)


def _apart_from_most(rows: Sequence[Sequence[str]], parents: Sequence[Sequence[str]]) -> Floats:
    """Whether an answer is another than most candidates and parents give; of n equally frequent ones each is 1/n right.

    Like the majority vote of an ensemble, taken as the truth.
    """
    table = np.array([[normalize_answer(answer) for answer in row] for row in (*rows, *parents)], dtype=object)
    votes = np.array([[(column == answer).sum() for answer in column] for column in table.T]).T  # [A + N, P]
    most = votes.max(axis=0)
    leading = votes == most
    different = leading.sum(axis=0) / most  # how many different answers lead
    return np.asarray(1 - (leading / different)[: len(rows)], dtype=np.float64)


def _apart_from_donor(rows: Sequence[Sequence[str]], parents: Sequence[Sequence[str]]) -> Floats:
    """Whether an answer is another than the donor's own."""
    if not parents:
        raise UserError(
            "metric donor looks at the donor's own answers, and there are none: pipelines/search.py lets it answer, "
            "`adamms select` takes them with --donor"
        )
    return np.array([_answers_differ(row, parents[0]) for row in rows])


def add_overall(name: str, overall: Overall, *, asks_donor: bool = False) -> None:
    """Register a criterion that looks at all candidates at once; changed answers break its ties."""
    _REGISTRY[name] = Metric(name, _answers_differ, "sum", counts=False, overall=overall, asks_donor=asks_donor)


add_overall("plurality", _apart_from_most, asks_donor=True)
add_overall("donor", _apart_from_donor, asks_donor=True)
