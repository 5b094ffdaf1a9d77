"""A new kind of engine, as somebody would add one: a class, and a line in the registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from adamms.checkpoint import Checkpoint
from adamms.engines.config import ENGINES, EngineConfig
from adamms.engines.engine import Answer, Effort, Engine, EngineSpec
from adamms.engines.identity import EngineIdentity
from adamms.engines.memory import MemoryNeed
from adamms.engines.peak import NO_MEMORY, PeakMemory
from adamms.mapping.plan import MergePlan
from adamms.merging.recipe import Recipe
from adamms.prompts.prompt import Prompt

WHERE = "tests.support.echo_engine:EchoEngine"
ENGINES["echo"] = WHERE


@dataclass(frozen=True)
class EchoPlan:
    """In place of a `MergePlan`: this engine has no models."""

    fingerprint: str


class EchoEngine(Engine):
    """Answers with the prompt itself."""

    @staticmethod
    def memory(
        plan: MergePlan, base: Checkpoint, donors: Sequence[Checkpoint], config: EngineConfig, device: str
    ) -> MemoryNeed:
        return MemoryNeed(weights=0, kv_cache_token=0, kv_cache=0, activations=0)

    def __init__(self, spec: EngineSpec) -> None:
        self.effort = Effort()
        self.identity = EngineIdentity.of("echo", "float32", "cpu")
        self._alpha = 0.0

    def adopt(self, plan: MergePlan) -> None: ...

    def move(self, recipe: Recipe) -> str:
        self._alpha = recipe.alpha
        return f"{recipe.alpha:g}"

    def generate(self, prompts: Sequence[Prompt], drafts: Mapping[str, Sequence[int]] | None = None) -> list[Answer]:
        return [Answer(prompt.id, f"{prompt.text} at {self._alpha:g}", (1,), "stop") for prompt in prompts]

    def score(self, prompts: Sequence[Prompt]) -> list[Answer]:
        return [Answer(prompt.id, prompt.given.text, (1,), "stop", (-1.0,)) for prompt in prompts if prompt.given]

    def take_peak(self) -> PeakMemory:
        return NO_MEMORY
