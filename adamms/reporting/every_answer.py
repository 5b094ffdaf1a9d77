"""All prompts with all candidates' answers, as a page holds them: each different answer once."""

from collections.abc import Mapping, Sequence
from typing import Any

from adamms.prompts.prompt import Prompt

LARGEST = 12_000_000
"""Characters of answers that a report holds at most; beyond, the first prompts, and the rest is in the run folder."""


def every_answer(
    responses: Mapping[float, Mapping[str, str]], prompts: Sequence[Prompt], values: Sequence[float]
) -> dict[str, Any]:
    """`values`, how many prompts there are in `of`, and `rows`: id, text, number of pictures, different answers, and
    for each value which of them it gave (-1: none)."""
    rows: list[Any] = []
    size = 0
    for prompt in prompts:
        given = [responses.get(value, {}).get(prompt.id) for value in values]
        different = list(dict.fromkeys(str(answer) for answer in given if answer is not None))
        size += len(prompt.text) + sum(map(len, different)) + 4 * len(values)
        if size > LARGEST:
            break
        which = [-1 if answer is None else different.index(str(answer)) for answer in given]
        rows.append([prompt.id, prompt.text, len(prompt.images), different, which])
    return {"values": list(values), "of": len(prompts), "rows": rows}
