"""The folder of one search: its plan, its responses, what is still to be done, and where results go."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adamms.engines.config import EngineConfig
from adamms.errors import UserError
from adamms.support.files import write_json, write_whole
from adamms.engines.engine import Answer
from adamms.prompts.prompt import Prompt
from adamms.mapping.plan import MergePlan
from adamms.searching.coefficient import Line
from adamms.runs.responses import format_alpha, normalize_alpha
from adamms.runs.store import ResponseRecord, ResponseStore


def answer_identity(plan: MergePlan, line: Line, engine: EngineConfig) -> dict[str, Any]:
    """All that an answer depends on but alpha and the prompt: models and plan, method, decoding, engine, versions."""
    stop = {"stop": list(engine.stop)} if engine.stop else {}
    return {
        **stop,
        "plan": plan.fingerprint,
        "recipe": line.fixed(),
        "engine": [engine.kind.value, engine.dtype, engine.max_tokens],
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "transformers")},
    }


class RunFolder:
    """What a search keeps in `run_dir`.

    Args:
        identity: everything that an answer depends on but alpha and the prompt (`answer_identity`). Answers stored
            under another identity are not taken for this search's.
        responses: name of the subfolder of responses; judging keeps its own.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], responses: str = "responses") -> None:
        self.folder = folder
        self._identity = json.dumps(identity, sort_keys=True)
        self.store = ResponseStore(folder / responses)

    @property
    def plan_file(self) -> Path:
        return self.folder / "plan.json"

    @property
    def selection_file(self) -> Path:
        return self.folder / "selection.json"

    @property
    def settings_file(self) -> Path:
        return self.folder / "settings.yaml"

    @property
    def evaluation_file(self) -> Path:
        return self.folder / "evaluation.json"

    @property
    def costs_file(self) -> Path:
        return self.folder / "costs.json"

    @property
    def noise_file(self) -> Path:
        return self.folder / "noise.json"

    @property
    def merged_folder(self) -> Path:
        return self.folder / "merged"

    def key(self, alpha: float, prompt: Prompt) -> str:
        """Identifies one answer: equal keys, equal work."""
        text = f"{self._identity}\n{format_alpha(alpha)}\n{prompt.digest}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @property
    def search_key(self) -> str:
        """Identifies the search among all that ever logged to one dashboard."""
        return hashlib.sha256(f"{self.folder.resolve()}\n{self._identity}".encode()).hexdigest()[:16]

    def save(self, alpha: float, prompts: Sequence[Prompt], answers: Sequence[Answer]) -> list[ResponseRecord]:
        """Appends answers to the store; they survive a kill from here on."""
        records = [
            ResponseRecord(
                alpha=alpha,
                prompt_id=prompt.id,
                response=answer.text,
                key=self.key(alpha, prompt),
                tokens=len(answer.tokens),
                finish_reason=answer.finish_reason,
                logprobs=answer.logprobs,
            )
            for prompt, answer in zip(prompts, answers, strict=True)
        ]
        self.store.append(records)
        return records

    def check_owner(self, alphas: Sequence[float], prompts: Sequence[Prompt], force: bool) -> None:
        """Refuses a folder that holds another search's answers to these prompts, or sets them aside with `force`.

        Raises:
            UserError: such answers are there, and `force` is not given.
        """
        ours = {(normalize_alpha(alpha), p.id): self.key(alpha, p) for alpha in alphas for p in prompts}
        others = [r for r in self.store.load() if ours.get((r.alpha, r.prompt_id), r.key) != r.key]
        if not others:
            return
        if not force:
            raise UserError(
                f"{self.store.folder}: holds {len(others)} answers of another search (other models, method, prompts, "
                "engine or versions); choose another run_dir, or --force to set them aside"
            )
        number = 1
        while (aside := self.folder / f"{self.store.folder.name}.old-{number}").exists():
            number += 1
        self.store.folder.rename(aside)

    def write_json(self, path: Path, data: Any) -> None:
        """Writes a result file in one step, so that a reader never sees half of it."""
        write_json(path, data)

    def write_text(self, path: Path, text: str) -> None:
        """Likewise, of text."""
        write_whole(path, text)
