"""Responses made by anybody: alpha -> prompt -> answer, read from JSONL files; labels are never needed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adamms.errors import UserError
from adamms.runs import lmms_samples
from adamms.runs.jsonl import Row, jsonl_files, raise_problems, read_rows
from adamms.runs.record import Response, ResponseRecord
from adamms.runs.values import format_value, normalize_value

Responses = dict[float, dict[str, str]]
"""alpha, as `normalize_value` gives it -> prompt_id -> response (a `Response` where log-probabilities are known)."""


def read_responses(path: str | Path) -> Responses:
    """Read one JSONL file, or every one below a folder; of the folder of a search its candidates' responses.

    A row has `alpha` (a number), `prompt_id` (text or an integer) and `response` (text); other fields are ignored. Rows
    of lmms-eval's `--log_samples` are understood too (`lmms_samples`). A row may be repeated; where the store has
    written the same `key` twice, the first one counts.

    Raises:
        UserError: nothing to read; rows that lack something; two different responses for one (alpha, prompt_id).
    """
    root = Path(path)
    if (root / "responses").is_dir() and (root / "plan.json").is_file():
        root /= "responses"
    problems: list[str] = []
    table = _Table()
    for file in jsonl_files(root):
        for where, record in _records(file, root, problems):
            table.add(where, record, problems)
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


class _Table:
    """Responses as they are read, and where each was found, so that a contradiction can be named."""

    def __init__(self) -> None:
        self.responses: Responses = {}
        self._found: dict[tuple[float, str], tuple[str, ResponseRecord]] = {}

    def add(self, where: str, new: ResponseRecord, problems: list[str]) -> None:
        first, old = self._found.setdefault((new.value, new.prompt_id), (where, new))
        same_work = old.key and old.key == new.key
        if old.response != new.response and not same_work:
            problems.append(
                f"{where}: alpha {format_value(new.value)}, prompt_id {new.prompt_id!r} was answered otherwise at "
                f"{first}; keep one (or give the folder of one search only)"
            )
        self.responses.setdefault(new.value, {})[new.prompt_id] = Response(old.response, old.logprobs)


def _records(file: Path, root: Path, problems: list[str]) -> Iterator[tuple[str, ResponseRecord]]:
    """What one file says and where, whichever of the two formats its rows have."""
    sample = lmms_samples.SampleReader(file, root)
    for row in read_rows(file, problems):
        found: list[str] = []
        if lmms_samples.is_sample(row.fields):
            row = Row(row.where, sample.plain(row.fields))
            found += sample.problems(row.fields)
        record = _record(row, found)
        if record is None:
            problems.append(f"{row.where}: {', '.join(found)}")
        else:
            yield row.where, record


def _record(row: Row, found: list[str]) -> ResponseRecord | None:
    """The answer in a plain row; what is wrong with it is added to `found`, and then there is no answer."""
    fields = row.fields
    value = _number(fields.get("alpha"))
    prompt_id, response = fields.get("prompt_id"), fields.get("response")
    if not found:
        if value is None:
            found.append("alpha must be a finite number" if "alpha" in fields else "alpha is missing")
        if isinstance(prompt_id, bool) or not isinstance(prompt_id, (str, int)):
            found.append("prompt_id must be text or an integer" if "prompt_id" in fields else "prompt_id is missing")
        if not isinstance(response, str):
            found.append("response must be text" if "response" in fields else "response is missing")
    if found or value is None:
        return None
    key, logprobs = fields.get("key"), _logprobs(fields.get("logprobs"))
    return ResponseRecord(
        value=normalize_value(value),
        prompt_id=str(prompt_id),
        response=str(response),
        key=key if isinstance(key, str) else "",
        logprobs=None if logprobs is None else tuple(logprobs),
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
