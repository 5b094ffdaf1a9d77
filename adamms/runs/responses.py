"""Responses made by anybody: alpha -> prompt -> answer, read from JSONL files; labels are never needed."""

from collections.abc import Iterator
from pathlib import Path

from adamms.errors import UserError
from adamms.runs.jsonl import jsonl_files, raise_problems, read_rows
from adamms.runs.lmms_samples import SampleReader, is_sample
from adamms.runs.record import Response, ResponseRecord
from adamms.runs.values import format_value

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
    if is_run(root):
        root /= "responses"
    problems: list[str] = []
    responses: Responses = {}
    firsts: dict[tuple[float, str], tuple[str, ResponseRecord]] = {}
    for where, new in (found for file in jsonl_files(root) for found in _records(file, root, problems)):
        first, old = firsts.setdefault((new.value, new.prompt_id), (where, new))
        if old.response != new.response and not (old.key and old.key == new.key):
            problems.append(
                f"{where}: alpha {format_value(new.value)}, prompt_id {new.prompt_id!r} was answered otherwise at "
                f"{first}; keep one (or give the folder of one search only)"
            )
        responses.setdefault(new.value, {})[new.prompt_id] = Response.of(old)
    raise_problems(problems)
    if not responses:
        raise UserError(f"{root}: no responses in it; each line needs alpha, prompt_id and response")
    return responses


def is_run(path: Path) -> bool:
    """Whether it is the folder of a search, which keeps other JSONL files beside its answers."""
    return (path / "responses").is_dir() and any((path / file).is_file() for file in ("plan.json", "search.json"))


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


def _records(file: Path, root: Path, problems: list[str]) -> Iterator[tuple[str, ResponseRecord]]:
    """What one file says and where, whichever of the two formats its rows have."""
    sample = SampleReader(file, root)
    for row in read_rows(file, problems):
        try:
            record = ResponseRecord.from_fields(sample.plain(row.fields) if is_sample(row.fields) else row.fields)
        except ValueError as error:
            problems.append(f"{row.where}: {error}")
        else:
            yield row.where, record
