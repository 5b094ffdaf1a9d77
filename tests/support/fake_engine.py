"""An engine without a model, for real Ray: it answers from prompt and alpha, and misbehaves where a prompt says so."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from adamms.engines.config import ENGINES, EngineConfig
from adamms.engines.engine import Answer, Effort, Engine
from adamms.engines.identity import EngineIdentity
from adamms.engines.peak import PeakMemory
from adamms.errors import UserError
from adamms.merging.recipe import Recipe
from adamms.prompts.prompt import Prompt

ENGINES["fake"] = f"{__name__}:FakeEngine"


@dataclass(frozen=True)
class FakePlan:
    """In place of a `MergePlan`: a donor."""

    fingerprint: str


@dataclass(frozen=True)
class FakeSpec:
    """In place of an `EngineSpec`.

    Attributes:
        folder: gets a file `tried-...` for every start and `pid-...` for every engine.
        start: what building does: 'raise', 'user error', 'die', 'hang', 'die once'.
        padding: makes it as large as a real model's plan.
        dtypes: what engines say they compute in, one after the other.
    """

    config: EngineConfig
    folder: Path
    start: str = ""
    seconds: float = 0.0
    plan: FakePlan = field(default_factory=lambda: FakePlan("one"))
    padding: bytes = b""
    dtypes: tuple[str, ...] = ("float32",)

    def __post_init__(self) -> None:
        object.__setattr__(self, "config", replace(self.config, kind="fake"))


class FakeEngine:
    """Registered as kind `fake` wherever this module is imported: in a test, and with its spec in the actor."""

    def __init__(self, spec: FakeSpec) -> None:
        (spec.folder / f"tried-{time.monotonic_ns()}").touch()
        _misbehave(spec.start, spec.folder)
        before = len(list(spec.folder.glob("pid-*")))
        (spec.folder / f"pid-{os.getpid()}").touch()
        dtype = spec.dtypes[before % len(spec.dtypes)]
        self.effort = Effort()
        self.identity = EngineIdentity("fake", dtype, "cpu", ())
        self._spec, self._alpha, self._peak = spec, -1.0, 0
        self.adopt(spec.plan)

    missing = Engine.missing

    @staticmethod
    def gpus(config: EngineConfig) -> int:
        return config.tensor_parallel_size

    @staticmethod
    def keeps_images(config: EngineConfig) -> bool:
        return config.vision_cache_tokens > 0

    def adopt(self, plan: FakePlan) -> None:
        self._donor = "" if plan.fingerprint == "one" else f" of donor {plan.fingerprint}"

    def move(self, recipe: Recipe) -> str:
        self._alpha = recipe.alpha
        return f"{recipe.alpha:g}"

    def generate(self, prompts: Sequence[Prompt], drafts: Mapping[str, Sequence[int]] | None = None) -> list[Answer]:
        time.sleep(self._spec.seconds)
        for prompt in prompts:
            when, _, what = prompt.text.partition(":")
            if what and float(when) == self._alpha:
                _misbehave(what, self._spec.folder)
        drafted = sum(len(tokens) for tokens in (drafts or {}).values())
        self._peak = max(self._peak, len(prompts))
        self.effort += Effort(decoded_tokens=len(prompts), drafted_tokens=drafted)
        company = {prompt.id: f" of {len(prompts)}" if prompt.text == "fickle" else "" for prompt in prompts}
        return [Answer(p.id, f"{p.id} at {self._alpha:g}{self._donor}{company[p.id]}", (1, 2), "stop") for p in prompts]

    def score(self, prompts: Sequence[Prompt]) -> list[Answer]:
        raise AssertionError("nobody asks for it")

    answer = Engine.answer

    def take_peak(self) -> PeakMemory:
        """A byte a prompt."""
        found, self._peak = self._peak, 0
        return PeakMemory(resident=found)


def _misbehave(what: str, folder: Path | None = None) -> None:
    if what == "raise":
        raise ValueError("a poisoned prompt\nwith more lines")
    if what == "user error":
        raise UserError("engine.kind: mend it like this")
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "hang":
        time.sleep(10_000)
    if what == "die once" and folder is not None and not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
