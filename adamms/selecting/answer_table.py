"""The answers that criteria compare: one row a candidate, one column a prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from adamms.errors import UserError
from adamms.runs.record import Response
from adamms.runs.values import format_value


@dataclass(frozen=True)
class AnswerTable:
    """What every candidate answered to every prompt that all of them answered.

    The order of the prompts follows from their answers alone, so neither prompt ids nor the order of a file can change
    anything computed from the table, resampling included.
    """

    values: tuple[float, ...]
    """The candidates: values of the coefficient that is searched, ascending. [C]"""
    prompt_ids: tuple[str, ...]
    """[P]"""
    answers: tuple[tuple[str, ...], ...]
    """[C][P]"""
    dropped: int
    """How many prompts were left out because some candidate (or parent) has not answered them."""
    parents: tuple[tuple[str, ...], ...] = ()
    """What unmerged models, such as the donor in its own architecture, answer to the same prompts. [N][P]"""

    @classmethod
    def of(cls, responses: Mapping[float, Mapping[str, str]], parents: Sequence[Mapping[str, str]] = ()) -> AnswerTable:
        """The table of responses (value -> prompt id -> answer) and, where given, of parents' answers.

        Raises:
            UserError: there is no candidate, or no prompt that all candidates (and parents) answered.
        """
        values = tuple(sorted(responses))
        rows = [responses[value] for value in values]
        asked = {prompt for row in rows for prompt in row}
        if not any(all(prompt in row for row in rows) for prompt in asked):
            counts = ", ".join(f"{format_value(value)}: {len(responses[value])}" for value in values)
            raise UserError(
                f"no prompt was answered by every candidate (number of answers: {counts or 'none'}); "
                "let every candidate answer the same prompt_ids"
            )
        rows += parents
        common = [prompt for prompt in asked if all(prompt in row for row in rows)]
        if not common:
            raise UserError("the donor has answered none of the candidates' prompts; its prompt_ids have to be theirs")
        common.sort(key=lambda prompt: ([_content(row[prompt]) for row in rows], prompt))
        answers = tuple(tuple(row[prompt] for prompt in common) for row in rows)
        own, parents_own = answers[: len(values)], answers[len(values) :]
        return cls(values, tuple(common), own, len(asked) - len(common), parents_own)


def _content(answer: str) -> tuple[str, tuple[float, ...]]:
    """Everything that a criterion may look at in one answer."""
    if not isinstance(answer, Response):
        return answer, ()
    return str(answer), (*(answer.logprobs or ()), *(answer.by_parents or ()))
