"""One stored answer of one candidate, and the text of it as criteria compare it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from adamms.runs.values import normalize_value

LOGPROB_DIGITS = 4
LEAST_LOGPROB = -1000.0
"""In place of a log-probability that is no finite number, as a model computes that overflows."""


@dataclass(frozen=True)
class ResponseRecord:
    """One answer of one candidate, and what it cost."""

    value: float
    prompt_id: str
    response: str
    key: str
    """Hex; identifies the work: base, donor, plan, method, alpha, prompt content, sampling, engine, versions."""
    tokens: int = 0
    finish_reason: str = ""
    logprobs: tuple[float, ...] | None = field(default=None, compare=False)
    """Of the generated tokens; rounded when they are written."""

    def to_line(self) -> bytes:
        """One line of JSONL, newline included."""
        fields: dict[str, Any] = {
            "alpha": normalize_value(self.value),
            "prompt_id": self.prompt_id,
            "response": self.response,
            "key": self.key,
            "tokens": self.tokens,
            "finish_reason": self.finish_reason,
        }
        if self.logprobs is not None:
            fields["logprobs"] = [round(value, LOGPROB_DIGITS) for value in self.logprobs]
        try:
            return json.dumps(fields, ensure_ascii=False).encode() + b"\n"
        except UnicodeEncodeError:  # a lone surrogate, as a cut byte-level token may leave
            return json.dumps(fields).encode() + b"\n"

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> ResponseRecord:
        """Reads what `to_line` or anybody else wrote: `alpha`, `prompt_id` and `response` have to be there.

        Raises:
            ValueError: what is missing or of another type, in words.
        """
        value, prompt_id, response = _number(fields.get("alpha")), fields.get("prompt_id"), fields.get("response")
        wrong = [("alpha", "a finite number")] if value is None else []
        if isinstance(prompt_id, bool) or not isinstance(prompt_id, str | int):
            wrong.append(("prompt_id", "text or an integer"))
        if not isinstance(response, str):
            wrong.append(("response", "text"))
        if wrong or value is None:
            told = (f"{name} must be {what}" if name in fields else f"{name} is missing" for name, what in wrong)
            raise ValueError(", ".join(told))
        key, tokens, reason = fields.get("key"), fields.get("tokens"), fields.get("finish_reason")
        return cls(
            value=normalize_value(value),
            prompt_id=str(prompt_id),
            response=str(response),
            key=key if isinstance(key, str) else "",
            tokens=tokens if isinstance(tokens, int) else 0,
            finish_reason=reason if isinstance(reason, str) else "",
            logprobs=_logprobs(fields.get("logprobs")),
        )


def finite(logprobs: Sequence[float] | None) -> tuple[float, ...] | None:
    """As JSON can hold them, so that a search that goes on sees what it saw before."""
    return None if logprobs is None else tuple(one if math.isfinite(one) else LEAST_LOGPROB for one in logprobs)


def _logprobs(value: Any) -> tuple[float, ...] | None:
    """Numbers, of which an earlier version stored some that are not finite; None for anything else, as most answers
    have none."""
    if not isinstance(value, list):
        return None
    overflowed = (isinstance(one, float) and not math.isfinite(one) for one in value)
    numbers = [LEAST_LOGPROB if lost else _number(one) for one, lost in zip(value, overflowed, strict=True)]
    return tuple(one for one in numbers if one is not None) if None not in numbers else None


def _number(value: Any) -> float | None:
    """A finite number, also when written as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


class Response(str):
    """The text of an answer, and how probable engines held its tokens, where that is known.

    Attributes:
        logprobs: natural logarithms, one a generated token, the one that ended the answer included.
        ended: the answer came to its end, rather than being cut off at some length.
        by_parents: how probable base and donor hold this same answer: the mean of `logprobs` as theirs would be.
    """

    logprobs: tuple[float, ...] | None
    ended: bool
    by_parents: tuple[float, ...] | None

    def __new__(
        cls,
        text: str,
        logprobs: Sequence[float] | None = None,
        ended: bool = True,
        by_parents: Sequence[float] | None = None,
    ) -> Response:
        made = super().__new__(cls, text)
        made.logprobs = None if logprobs is None else tuple(logprobs)
        made.ended = ended
        made.by_parents = None if by_parents is None else tuple(by_parents)
        return made

    def as_stored(self) -> Response:
        """With log-probabilities as they are written, so that a search that goes on sees what it saw before."""
        rounded = None if self.logprobs is None else [round(value, LOGPROB_DIGITS) for value in self.logprobs]
        return Response(str(self), rounded, self.ended, self.by_parents)

    @classmethod
    def of(cls, record: ResponseRecord) -> Response:
        """What criteria see of a stored answer."""
        return cls(record.response, record.logprobs, record.finish_reason != "length")
