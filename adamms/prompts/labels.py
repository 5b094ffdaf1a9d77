"""The right answers to prompts, for judging a search (`adamms evaluate`) and for `searching.labels`; nobody else reads
them."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from adamms.errors import UserError
from adamms.prompts.config import PromptsConfig
from adamms.prompts.prompt import Prompt, load_prompts
from adamms.prompts.sources import read_lines
from adamms.support.files import expanded


@dataclass(frozen=True)
class Labelled:
    """Prompts with their right answers, by the prompts' ids."""

    prompts: list[Prompt]
    labels: Mapping[str, str]

    def right(self, answers: Mapping[str, str]) -> list[bool]:
        """Which of the prompts are answered right."""
        return [is_right(answers[prompt.id], self.labels[prompt.id]) for prompt in self.prompts]


def is_right(answer: str, label: str) -> bool:
    """Whether an answer is exactly the right one, surrounding space aside."""
    return answer.strip() == label.strip()


def load_labelled(path: str, config: PromptsConfig) -> Labelled:
    """All prompts of a labelled JSONL file, put as `config` says.

    Raises:
        UserError: as `load_prompts` and `read_labels`.
    """
    prompts = load_prompts(replace(config, path=path, tasks={}, split="", subset="", n=sys.maxsize))
    return Labelled(prompts, read_labels(Path(path), prompts))


def read_labels(path: Path, prompts: Sequence[Prompt], prefix: str = "") -> dict[str, str]:
    """Prompt id -> `answer` of a labelled JSONL file, for prompts that `load_prompts` read from the same file.

    Args:
        prefix: the task that `load_tasks` put before the ids.

    Raises:
        UserError: there is no such file, or a prompt has no `answer`.
    """
    path = expanded(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file; labels are read from JSONL, with `prompt` and `answer`")
    rows: dict[str, Any] = {}
    for number, row in read_lines(path, []):  # `load_prompts` has told what is wrong with the others
        if isinstance(row, dict):
            given = row.get("id")
            name = str(number if given is None else given)
            rows.setdefault(f"{prefix}/{name}" if prefix else name, row.get("answer"))
    unlabelled = [prompt.id for prompt in prompts if not isinstance(rows.get(prompt.id), str)]
    if unlabelled:
        raise UserError(
            f"{path}: {len(unlabelled)} prompts have no `answer`, first {unlabelled[0]!r}; give every one its answer"
        )
    return {prompt.id: rows[prompt.id] for prompt in prompts}
