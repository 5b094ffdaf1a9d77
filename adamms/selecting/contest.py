"""One comparison of all candidates: their scores, which of them can be chosen, and the one that wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from adamms.selecting.answer_table import AnswerTable
from adamms.selecting.contradiction import contradictions, matters
from adamms.selecting.criteria import Criterion, get_criterion
from adamms.selecting.criteria.criterion import Floats
from adamms.selecting.degeneracy import Degeneracy, Limits, degeneracy_of
from adamms.selecting.divergence import Divergence, Endpoints, divergence_of, endpoints_of
from adamms.selecting.labels import Marks, not_kept
from adamms.selecting.resampling import DIGITS, Rows, winners_of

END_POINT = "end point: it has one neighbour only and is never chosen (unless endpoints is one_sided)"


@dataclass(frozen=True)
class Contest:
    """What a choice is made from. Candidates are the rows of `table`."""

    table: AnswerTable
    divergence: Divergence
    degeneracy: dict[float, Degeneracy]
    """Value -> what the guard against collapsed candidates found."""
    marks: Marks
    """Which labelled prompts the candidates answer right; empty without labels."""
    without_labels: Contest | None = None
    """The same by the criterion alone, where there are labels."""
    contradicted: int = 0
    """On how many prompts base and donor contradict each other about what the criterion chooses by itself."""

    @classmethod
    def of(
        cls,
        responses: Mapping[float, Mapping[str, str]],
        criterion: str | Criterion,
        endpoints: Endpoints,
        prompts: Mapping[str, str] | None,
        limits: Limits | None,
        parents: Sequence[Mapping[str, str]],
        marks: Marks | None = None,
        contradicted: int = 0,
    ) -> Contest:
        """Compare the candidates; arguments and errors are those of `select`."""
        table = AnswerTable.of(responses, parents)
        criterion = get_criterion(criterion) if isinstance(criterion, str) else criterion
        alone = cls(table, divergence_of(table, criterion, endpoints), degeneracy_of(table, prompts, limits), {})
        found = replace(alone, contradicted=max(contradicted, alone._contradictions()))
        if not marks:
            return found
        ends = endpoints_of(criterion, endpoints, labels=True)
        marks = {value: marks[value] for value in table.values}
        return replace(found, divergence=divergence_of(table, criterion, ends), marks=marks, without_labels=found)

    @cached_property
    def excluded(self) -> dict[float, str]:
        """Value -> why this candidate cannot be chosen."""
        unfit = {value: "; ".join(why) for value, why in self._unfit.items() if why}
        return unfit | self._behind

    @property
    def fit_marks(self) -> Marks:
        """The marks of the candidates that could be chosen without them."""
        return {value: own for value, own in self.marks.items() if not self._unfit[value]}

    @property
    def labels_alone(self) -> bool:
        """Whether labels leave only the candidates that are right most often, since base and donor contradict each
        other."""
        return bool(self.marks) and matters(self.contradicted, len(self.table.prompt_ids))

    @property
    def _behind(self) -> dict[float, str]:
        """Value -> why labels leave out a candidate that could be chosen without them."""
        marks = self.fit_marks
        return not_kept(marks, self.labels_alone) if marks else {}

    def _contradictions(self) -> int:
        """Among the candidates that the guard found sound; by a criterion that asks base and donor."""
        if self.winner is None or not self.divergence.criterion.asks_scores:
            return 0
        sound = np.array([not self.degeneracy[value].reasons for value in self.table.values])
        return contradictions(self.table, self.winner, sound)

    @property
    def _unfit(self) -> dict[float, list[str]]:
        """Value -> why this candidate could not be chosen without labels either."""
        return {
            value: [*self.degeneracy[value].reasons, *([] if scored else [END_POINT])]
            for value, scored in zip(self.table.values, self.divergence.scored, strict=True)
        }

    @property
    def eligible(self) -> Rows:
        """Which candidates can be chosen. [C]"""
        return np.array([value not in self.excluded for value in self.table.values])

    @property
    def totals(self) -> Floats:
        """Every candidate's score summed over the prompts, rounded so that equal ones are equal; NaN for none. [C]"""
        return np.asarray(np.round(self.divergence.score.sum(axis=1), DIGITS))

    @property
    def winner(self) -> int | None:
        """The row of the candidate that is chosen; None where none can be."""
        if not self.eligible.any():
            return None
        return int(winners_of(self.totals, self.divergence.both.sum(axis=1), self.eligible))

    @property
    def chosen(self) -> float | None:
        """The value of the candidate that is chosen; None where none can be."""
        return None if self.winner is None else self.table.values[self.winner]
