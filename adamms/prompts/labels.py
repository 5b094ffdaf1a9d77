"""The right answers to prompts, for judging a search (`adamms evaluate`) and for `searching.labels`; nobody else reads
them."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from adamms.errors import UserError
from adamms.prompts.config import Match, PromptsConfig
from adamms.prompts.prompt import Prompt, load_prompts
from adamms.prompts.sources import read_lines
from adamms.support.files import expanded
from adamms.support.normalize import normalize_answer


@dataclass(frozen=True, slots=True)
class Label:
    """The right answer to a prompt, or several of which each is right."""

    answers: tuple[str, ...]
    match: Match = "exact"

    def accepts(self, answer: str) -> bool:
        """Whether an answer is right."""
        alike = normalize_answer if self.match == "normalized" else str.strip
        return alike(answer) in map(alike, self.answers)

    def __str__(self) -> str:
        plain = len(self.answers) == 1 and self.match == "exact"
        return self.answers[0] if plain else f"{self.match} {json.dumps(self.answers)}"


@dataclass(frozen=True)
class Labelled:
    """Prompts with their right answers, by the prompts' ids."""

    prompts: list[Prompt]
    labels: Mapping[str, Label]

    def right(self, answers: Mapping[str, str]) -> list[bool]:
        """Which of the prompts are answered right."""
        return [self.labels[prompt.id].accepts(answers[prompt.id]) for prompt in self.prompts]


def load_labelled(path: str, config: PromptsConfig, match: Match = "exact") -> Labelled:
    """All prompts of a labelled JSONL file, put as `config` says.

    Raises:
        UserError: as `load_prompts` and `read_labels`.
    """
    prompts = load_prompts(replace(config, path=path, tasks={}, split="", subset="", n=sys.maxsize))
    return Labelled(prompts, read_labels(Path(path), prompts, match=match))


def read_labels(path: Path, prompts: Sequence[Prompt], prefix: str = "", match: Match = "exact") -> dict[str, Label]:
    """Prompt id -> `answer` of a labelled JSONL file, for prompts that `load_prompts` read from the same file.

    Args:
        prefix: the task that `load_tasks` put before the ids.

    Raises:
        UserError: there is no such file, or a prompt has no `answer`.
    """
    path = expanded(path)
    if not path.is_file() or path.suffix == ".parquet":
        wrong = "is Parquet" if path.is_file() else "no such file"
        raise UserError(f"{path}: {wrong}; labels are read from JSONL, with `prompt` and `answer`")
    rows: dict[str, tuple[str, ...]] = {}
    for number, row in read_lines(path, []):  # `load_prompts` has told what is wrong with the others
        if isinstance(row, dict):
            given = row.get("id")
            name = str(number if given is None else given)
            rows.setdefault(f"{prefix}/{name}" if prefix else name, _answers(row.get("answer")))
    unlabelled = [prompt.id for prompt in prompts if not rows.get(prompt.id)]
    if unlabelled:
        raise UserError(
            f"{path}: {len(unlabelled)} prompts have no `answer` (a text, a number, or a list of them), first "
            f"{unlabelled[0]!r}; give every one its answer"
        )
    return {prompt.id: Label(rows[prompt.id], match) for prompt in prompts}


def _answers(answer: Any) -> tuple[str, ...]:
    """Those that are right; none where it is no answer."""
    found = answer if isinstance(answer, list) else [answer]
    fit = all(isinstance(one, str | int | float) and not isinstance(one, bool) for one in found)
    return tuple(map(str, found)) if fit else ()
