"""The stored answers of one study: which are there, made by which engine, and what identifies each."""

import hashlib
import importlib.metadata
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from adamms.engines.engine import Answer
from adamms.engines.identity import EngineIdentity, dtype_name
from adamms.errors import UserError
from adamms.prompts.prompt import Prompt
from adamms.runs.record import ResponseRecord, finite
from adamms.runs.store import ResponseStore
from adamms.runs.values import format_value, normalize_value
from adamms.support.files import write_json

MEND = "choose another run_dir, or --force to set them aside"

logger = logging.getLogger(__name__)


class Answers:
    """Answers in a folder, each under a key of everything that it depends on.

    Which engine answers is known only once one is up (`engine.kind=auto`). So the first one that is leaves
    `engine.json` beside the answers, and whoever goes on later has to be the same.

    Args:
        asked: everything that an answer depends on but the candidate's value, the prompt and the engine.
        wanted: settings that name the engine, such as `{"kind": "vllm", "dtype": "auto"}`; `auto` is any.
        force: answers of another study or engine are set aside; else they are refused.
    """

    def __init__(
        self, folder: Path, asked: Mapping[str, Any], wanted: Mapping[str, str] | None = None, force: bool = False
    ) -> None:
        self.store = ResponseStore(folder)
        self._asked, self._wanted = json.dumps(asked, sort_keys=True), dict(wanted or {})
        self._force = force
        self._engine_file = folder / "engine.json"
        self.engine: EngineIdentity | None = None
        self._records: dict[str, ResponseRecord] = {}
        self._load()

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self.store.folder

    def key(self, value: float, prompt: Prompt) -> str:
        """Identifies one answer: equal keys, equal work."""
        engine = json.dumps(self.engine.to_json() if self.engine else None, sort_keys=True)
        text = f"{self._asked}\n{engine}\n{format_value(value)}\n{prompt.digest}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def get(self, value: float, prompt: Prompt) -> ResponseRecord | None:
        """A candidate's answer to a prompt, if it is stored."""
        return self._records.get(self.key(value, prompt))

    def save(self, value: float, prompts: Sequence[Prompt], answers: Sequence[Answer]) -> None:
        """Appends answers to the store; they survive a kill from here on."""
        records = [
            ResponseRecord(
                value=value,
                prompt_id=prompt.id,
                response=answer.text,
                key=self.key(value, prompt),
                tokens=len(answer.tokens),
                finish_reason=answer.finish_reason,
                logprobs=finite(answer.logprobs),
            )
            for prompt, answer in zip(prompts, answers, strict=True)
        ]
        self.store.append(records)
        for record in records:
            self._records.setdefault(record.key, record)

    def take_over(self, value: float, prompt: Prompt, record: ResponseRecord) -> None:
        """Stores an answer that the same models gave at the same weights to another search, under this one's key."""
        own = replace(record, value=value, prompt_id=prompt.id, key=self.key(value, prompt))
        self.store.append([own])
        self._records.setdefault(own.key, own)

    def check_owner(self, values: Sequence[float], prompts: Sequence[Prompt]) -> bool:
        """Refuses a folder that holds another study's answers to these prompts, or sets them aside.

        Returns:
            Whether they were set aside.

        Raises:
            UserError: such answers are there, and `force` is not set.
        """
        ours = {(normalize_value(value), p.id): self.key(value, p) for value in values for p in prompts}
        others = [r for r in self._records.values() if ours.get((r.value, r.prompt_id), r.key) != r.key]
        versions = self._other_versions() if self._records else ""
        changed = self._changed_engine() if self._records else ""
        changed = changed or (versions if self._force else "")
        if not others and not changed:
            if versions:
                logger.warning(
                    "%s: holds answers of other versions (%s); go on with those, or --force", self.folder, versions
                )
            return False
        if not self._force:
            what = changed or "other models, method, prompts, chat template, tokenizer or processor"
            count = len(others) or len(self._records)
            raise UserError(f"{self.folder}: holds {count} answers of another search ({what}); {MEND}")
        self._set_aside()
        return True

    def made_by(self, engine: EngineIdentity) -> None:
        """Notes which engine answers from now on.

        Raises:
            UserError: what is stored was answered by another one.
        """
        if self.engine is not None and self.engine != engine and self._records:
            if not self._force:
                raise UserError(f"{self.folder}: holds answers of {self.engine}, and {engine} would go on; {MEND}")
            self._set_aside()
        if self.engine != engine:
            write_json(self._engine_file, engine.to_json())
            self.engine = engine

    def _load(self) -> None:
        try:
            found = json.loads(self._engine_file.read_text(encoding="utf-8")) if self._engine_file.is_file() else None
            self.engine = EngineIdentity.from_json(found) if found else None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise UserError(f"{self._engine_file}: broken, so nobody knows which engine answered; {MEND}") from None
        self._records = {record.key: record for record in self.store.load()}

    def _changed_engine(self) -> str:
        """In what the engine that is asked for differs from the one that answered."""
        if self.engine is None:
            return ""
        had = self.engine.to_json()
        wanted = {name: dtype_name(value) for name, value in self._wanted.items() if value != "auto"}
        return ", ".join(f"{name} {had[name]}, not {value}" for name, value in wanted.items() if had[name] != value)

    def _other_versions(self) -> str:
        """In what versions the engine that answered differs from what is installed here, which says nothing for sure:
        engines may run on other machines."""
        found = []
        for name, version in self.engine.versions if self.engine else ():
            with suppress(importlib.metadata.PackageNotFoundError):  # the engines' machines have what the driver lacks
                if (here := importlib.metadata.version(name)) != version:
                    found.append(f"{name} {version}, not {here}")
        return ", ".join(found)

    def _set_aside(self) -> None:
        self.store.close()
        number = 1
        while (aside := self.folder.with_name(f"{self.folder.name}.old-{number}")).exists():
            number += 1
        self.folder.rename(aside)
        self._load()
