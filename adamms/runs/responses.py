"""Responses made by anybody: alpha -> prompt -> answer, read from JSONL files; labels are never needed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adamms.errors import UserError
from adamms.runs import lmms_samples
from adamms.runs.jsonl import Row, jsonl_files, raise_problems, read_rows

Responses = dict[float, dict[str, str]]
"""alpha, as `normalize_alpha` gives it -> prompt_id -> response (a `Response` where log-probabilities are known)."""

ALPHA_DIGITS = 6


def normalize_alpha(alpha: float) -> float:
    """Rounded to 6 digits, so that 0.1 + 0.2 and 0.3 are one candidate; -0.0 becomes 0.0."""
    return round(float(alpha), ALPHA_DIGITS) + 0.0


def format_alpha(alpha: float) -> str:
    """`0.3` for 0.3, `0.0` for 0, `0.05` for 0.05: how alphas are written in JSON keys and messages."""
    digits = f"{normalize_alpha(alpha):.{ALPHA_DIGITS}f}".rstrip("0")
    return digits + "0" if digits.endswith(".") else digits


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


@dataclass(frozen=True)
class Comparison:
    """The answers that can be compared: those to the prompts which every candidate has answered.

    The prompts stand in an order given by their answers alone, so neither their ids nor their order in a file can
    change anything computed from here, resampling included.
    """

    alphas: tuple[float, ...]
    """Candidates, ascending. [A]"""
    prompt_ids: tuple[str, ...]
    """[P]"""
    answers: tuple[tuple[str, ...], ...]
    """[A][P]"""
    dropped: int
    """How many prompts were left out because some candidate has not answered them."""
    parents: tuple[tuple[str, ...], ...] = ()
    """What parents that are no candidates answer, for criteria that ask them too. [N][P]"""


def comparison_set(
    responses: Mapping[float, Mapping[str, str]], parents: Sequence[Mapping[str, str]] = ()
) -> Comparison:
    """The prompts answered by all candidates (and parents, where they are given), and their answers.

    Raises:
        UserError: there is no candidate, or no prompt that all of them answered.
    """
    alphas = tuple(sorted(responses))
    everything = {prompt for answers in responses.values() for prompt in answers}
    rows = [responses[alpha] for alpha in alphas]
    common = [prompt for prompt in everything if all(prompt in answers for answers in rows)]
    if common and parents:
        rows += parents
        common = [prompt for prompt in common if all(prompt in answers for answers in parents)]
        if not common:
            raise UserError("the donor has answered none of the candidates' prompts; its prompt_ids have to be theirs")
    if not common:
        counts = ", ".join(f"{format_alpha(alpha)}: {len(responses[alpha])}" for alpha in alphas)
        raise UserError(
            f"no prompt was answered by every candidate (answers per alpha: {counts or 'none'}); "
            "let every candidate answer the same prompt_ids"
        )
    common.sort(key=lambda prompt: ([_content(answers[prompt]) for answers in rows], prompt))
    return Comparison(
        alphas=alphas,
        prompt_ids=tuple(common),
        answers=tuple(tuple(responses[alpha][prompt] for prompt in common) for alpha in alphas),
        dropped=len(everything) - len(common),
        parents=tuple(tuple(answers[prompt] for prompt in common) for answers in parents),
    )


def _content(answer: str) -> tuple[str, tuple[float, ...]]:
    """All that anything computed from an answer depends on."""
    return str(answer), (answer.logprobs or ()) if isinstance(answer, Response) else ()


def read_responses(path: str | Path) -> Responses:
    """Read one JSONL file, or every one below a folder.

    A row has `alpha` (a number), `prompt_id` (text or an integer) and `response` (text); other fields are ignored. Rows
    of lmms-eval's `--log_samples` are understood too (see `lmms_eval`). A row may be repeated; where the store has
    written the same `key` twice, the first one counts.

    Raises:
        UserError: nothing to read; rows that lack something; two different responses for one (alpha, prompt_id).
    """
    root = Path(path)
    problems: list[str] = []
    table = _Table()
    for file in jsonl_files(root):
        for answer in _answers(file, root, problems):
            table.add(answer, problems)
    raise_problems(problems)
    if not table.responses:
        raise UserError(f"{root}: no responses in it; each line needs alpha, prompt_id and response")
    return table.responses


def of_task(responses: Responses, task: str) -> Responses:
    """The answers to one task's prompts of a search over several, by their ids; without a task all of them.

    Raises:
        UserError: there are none.
    """
    if not task:
        return responses
    found = {
        alpha: {name: answer for name, answer in answers.items() if name.startswith(f"{task}/")}
        for alpha, answers in responses.items()
    }
    if not any(found.values()):
        names = sorted({name.partition("/")[0] for answers in responses.values() for name in answers if "/" in name})
        raise UserError(f"no prompt_id begins with {task}/; tasks are: {', '.join(names[:20]) or 'none'}")
    return found


@dataclass(frozen=True)
class _Answer:
    where: str
    alpha: float
    prompt_id: str
    response: str
    key: str | None


class _Table:
    """Responses as they are read, and where each was found, so that a contradiction can be named."""

    def __init__(self) -> None:
        self.responses: Responses = {}
        self._found: dict[tuple[float, str], _Answer] = {}

    def add(self, new: _Answer, problems: list[str]) -> None:
        old = self._found.setdefault((new.alpha, new.prompt_id), new)
        same_work = old.key is not None and old.key == new.key
        if old.response != new.response and not same_work:
            problems.append(
                f"{new.where}: alpha {format_alpha(new.alpha)}, prompt_id {new.prompt_id!r} was answered otherwise at "
                f"{old.where}; keep one (or give the folder of one search only)"
            )
        self.responses.setdefault(new.alpha, {})[new.prompt_id] = old.response


def _answers(file: Path, root: Path, problems: list[str]) -> Iterator[_Answer]:
    """What one file says, whichever of the two formats its rows have."""
    sample = lmms_samples.SampleReader(file, root)
    for row in read_rows(file, problems):
        found: list[str] = []
        if lmms_samples.is_sample(row.fields):
            row = Row(row.where, sample.plain(row.fields))
            found += sample.problems(row.fields)
        answer = _answer(row, found)
        if answer is None:
            problems.append(f"{row.where}: {', '.join(found)}")
        else:
            yield answer


def _answer(row: Row, found: list[str]) -> _Answer | None:
    """The answer in a plain row; what is wrong with it is added to `found`, and then there is no answer."""
    fields = row.fields
    alpha = _number(fields.get("alpha"))
    prompt_id, response = fields.get("prompt_id"), fields.get("response")
    if not found:
        if alpha is None:
            found.append("alpha must be a finite number" if "alpha" in fields else "alpha is missing")
        if isinstance(prompt_id, bool) or not isinstance(prompt_id, (str, int)):
            found.append("prompt_id must be text or an integer" if "prompt_id" in fields else "prompt_id is missing")
        if not isinstance(response, str):
            found.append("response must be text" if "response" in fields else "response is missing")
    if found or alpha is None:
        return None
    key = fields.get("key")
    return _Answer(
        where=row.where,
        alpha=normalize_alpha(alpha),
        prompt_id=str(prompt_id),
        response=Response(str(response), _logprobs(fields.get("logprobs"))),
        key=key if isinstance(key, str) else None,
    )


def _logprobs(value: Any) -> list[float] | None:
    """A list of numbers; nothing for anything else, as most answers have none."""
    numbers = [_number(one) for one in value] if isinstance(value, list) else [None]
    return [one for one in numbers if one is not None] if None not in numbers else None


def _number(value: Any) -> float | None:
    """A finite number, also when written as text; nothing for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
