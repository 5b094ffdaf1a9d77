"""One stored answer of one candidate, and the text of it as criteria compare it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from adamms.runs.jsonl import Row
from adamms.runs.values import normalize_value

LOGPROB_DIGITS = 4


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
    def from_row(cls, row: Row) -> ResponseRecord:
        """Read what `to_line` wrote.

        Raises:
            ValueError: a field is missing or of another type.
        """
        fields = row.fields
        try:
            return cls(
                value=normalize_value(fields["alpha"]),
                prompt_id=str(fields["prompt_id"]),
                response=str(fields["response"]),
                key=str(fields["key"]),
                tokens=int(fields.get("tokens", 0)),
                finish_reason=str(fields.get("finish_reason", "")),
                logprobs=tuple(map(float, fields["logprobs"])) if fields.get("logprobs") is not None else None,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{row.where}: not a stored response ({type(error).__name__}: {error})") from error


class Response(str):
    """The text of an answer, and how probable the engine held each of its tokens, where that is known.

    Attributes:
        logprobs: natural logarithms, one a generated token, the one that ended the answer included.
    """

    logprobs: tuple[float, ...] | None

    def __new__(cls, text: str, logprobs: Sequence[float] | None = None) -> Response:
        made = super().__new__(cls, text)
        made.logprobs = None if logprobs is None else tuple(logprobs)
        return made
