"""What a criterion is, and the registry that finds one by the name a user writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from adamms.errors import UserError
from adamms.selecting.answer_table import AnswerTable

Floats = NDArray[np.float64]
Difference = Callable[[Sequence[str], Sequence[str]], Floats]
"""Two candidates' answers to the same prompts [P], [P] -> how far each pair of answers is apart [P], 0 (same) to 1."""
Overall = Callable[[AnswerTable], Floats]
"""The answers of all candidates (and parents) -> every candidate's score on each prompt [C, P], from 0 (best) to 1."""


@dataclass(frozen=True)
class Criterion:
    """How a candidate is scored without labels; the candidate with the smallest score is chosen.

    Most criteria only say how far two answers are apart: a candidate's score is made of the differences between its
    answers and those of the next lower and the next higher candidate. One with `overall` looks at all candidates at
    once instead.
    """

    name: str
    difference: Difference
    combine: Literal["either", "sum"]
    """`sum` adds the differences to both neighbours; `either` takes the larger one, so that a prompt counts once."""
    overall: Overall | None = None
    """Scores candidates instead of the differences to their neighbours, which then only break ties."""
    parts: tuple[Criterion, ...] = ()
    """Of a criterion `a+b`: a and b. Its score is the mean of theirs, each divided by the largest it can be."""
    asks_donor: bool = False
    """Whether it uses the donor's own answers: a search then lets the donor answer the prompts as well."""
    asks_scores: bool = False
    """Whether it uses how probable base and donor hold a candidate's answers: a search then lets both score them."""
    asks_logprobs: bool = False
    """Whether it uses the log-probabilities of the answers' tokens, which not every engine gives."""
    absolute: bool = False
    """Whether a candidate's score depends on its own answers (and the parents) alone, not on the other candidates."""
    with_argument: Callable[[str], Criterion] | None = None
    """Makes the criterion that a user means by NAME:ARGUMENT; None where nothing may follow the name."""
    words: str = ""
    """What its score is, for people who do not know the name: `answers that changed`."""

    def score(self, lower: Floats, higher: Floats) -> Floats:
        """A candidate's score on each prompt, from its differences to the next lower and the next higher candidate."""
        return lower + higher if self.combine == "sum" else np.maximum(lower, higher)

    @property
    def title(self) -> str:
        """Above its scores: `answers that changed (either)`."""
        return f"{self.words} ({self.name})" if self.words else self.name

    @property
    def by_neighbours(self) -> bool:
        """Whether a candidate's score is made of the differences to its neighbours and nothing else."""
        return self.overall is None and not self.parts

    @property
    def scores_ends(self) -> bool:
        """Whether the lowest and the highest candidate have a score as good as any: no neighbour is needed for one."""
        return all(part.scores_ends for part in self.parts) if self.parts else self.overall is not None

    @property
    def comparable(self) -> bool:
        """Whether scores of candidates of different methods say which of these is the better one."""
        return all(part.comparable for part in self.parts) if self.parts else self.absolute

    @property
    def largest(self) -> float:
        """The largest score that a candidate can have on one prompt."""
        return 2.0 if self.combine == "sum" and self.overall is None else 1.0


CRITERIA: dict[str, Criterion] = {}
PAPER = "paper"
ALIASES = {PAPER: "either"}


def register(criterion: Criterion) -> None:
    """Let users choose a criterion by its name.

    Raises:
        ValueError: the name is taken.
    """
    if criterion.name in CRITERIA:
        raise ValueError(f"a criterion named {criterion.name!r} exists already")
    CRITERIA[criterion.name] = criterion


def get_criterion(name: str) -> Criterion:
    """The criterion that a user means: NAME, NAME:ARGUMENT such as `embedding:MODEL`, or `a+b` for the mean of several.

    Raises:
        UserError: there is none of that name.
    """
    if "+" in name:
        parts = tuple(map(get_criterion, name.split("+")))
        return Criterion(
            "+".join(part.name for part in parts),
            parts[0].difference,
            "either",
            parts=parts,
            asks_donor=any(part.asks_donor for part in parts),
            asks_scores=any(part.asks_scores for part in parts),
            asks_logprobs=any(part.asks_logprobs for part in parts),
            words="mean score",
        )
    kind, colon, argument = ALIASES.get(name, name).partition(":")
    found = CRITERIA.get(kind)
    if found is None or (colon and found.with_argument is None):
        raise UserError(f"no metric is named {name!r}; choose one of {', '.join(CRITERIA)}, or a+b for a mean")
    return found.with_argument(argument) if argument and found.with_argument else found


def without_scores(criterion: Criterion) -> Criterion:
    """What to choose by where a criterion asks for the parents' scores and they cannot be had: the mean of its other
    parts, or how sure candidates are."""
    others = [part.name for part in criterion.parts if not part.asks_scores]
    return get_criterion("+".join(others) or "logprob")
