"""The Ray actor that holds one engine, and what it reserves of the cluster."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adamms.engines.config import EngineConfig
from adamms.engines.engine import NO_EFFORT, Answer, Effort, Engine, EngineSpec
from adamms.engines.peak import NO_MEMORY, PeakMemory
from adamms.merging.recipe import Recipe
from adamms.prompts.prompt import Prompt


@dataclass(frozen=True, slots=True)
class UnitResult:
    """A finished unit.

    Attributes:
        answers: one a prompt; empty if the unit failed for good.
        error: why it failed, in one line; None if it did not.
        digest: of the live merged weights that answered.
        move_seconds: time for re-merging, 0 if the engine stood at alpha already.
        effort: what answering cost.
        memory: the most that the engine had meanwhile.
    """

    alpha: float
    answers: tuple[Answer, ...] = ()
    error: str | None = None
    digest: str = ""
    move_seconds: float = 0.0
    generate_seconds: float = 0.0
    actor: int = 0
    effort: Effort = NO_EFFORT
    memory: PeakMemory = NO_MEMORY


@dataclass(frozen=True, slots=True)
class Adopted:
    """The plan that a unit is to be answered by, by its fingerprint; what it is, an actor asks for once.

    Attributes:
        spec: Ray's reference to the `EngineSpec`, in a tuple since Ray would resolve a lone one on every call.
    """

    plan: str
    spec: tuple[Any]


class EngineActor:
    """All its state follows from its arguments, so a restarted one goes on as before.

    Args:
        ranks_apart: vLLM's ranks are Ray workers of their own. Then Ray hides every GPU from this process, which
            has to see them to find out what they are.
    """

    def __init__(self, spec: EngineSpec, index: int, cpus: int, ranks_apart: bool = False) -> None:
        self._spec, self._index = spec, index
        self._engine: Engine | None = None
        self._recipe: Recipe | None = None
        self._digest = ""
        os.environ["OMP_NUM_THREADS"] = str(cpus)  # read when torch is imported
        if ranks_apart:
            os.environ.pop("CUDA_VISIBLE_DEVICES", None)

    def awake(self) -> None:
        """Returns once the process is there."""

    def ready(self) -> None:
        """Starts the engine."""
        if self._engine is None:
            self._engine = self._spec.build()

    def answer(
        self, adopted: Adopted, recipe: Recipe, prompts: Sequence[Prompt], drafts: Mapping[str, Sequence[int]]
    ) -> UnitResult:
        """Goes over to the plan and moves to the recipe where it does not stand there yet, and answers."""
        started = time.perf_counter()
        engine = self._engine_of(adopted)
        before = engine.effort
        engine.take_peak()  # what was before this unit, such as loading the models, is not its own
        if recipe != self._recipe:
            self._recipe = None
            self._digest = engine.move(recipe)
            self._recipe = recipe
        moved = time.perf_counter()
        answers = engine.generate(prompts, drafts)
        return UnitResult(
            recipe.alpha,
            tuple(answers),
            digest=self._digest,
            move_seconds=moved - started,
            generate_seconds=time.perf_counter() - moved,
            actor=self._index,
            effort=engine.effort - before,
            memory=engine.take_peak(),
        )

    def _engine_of(self, adopted: Adopted) -> Engine:
        """The engine, at the plan that is wanted; a new process starts with it."""
        import ray

        if adopted.plan != self._spec.plan.fingerprint:
            self._recipe = None
            self._spec = ray.get(adopted.spec[0])
            if self._engine is not None:
                self._engine.adopt(self._spec.plan)
        self.ready()
        assert self._engine is not None
        return self._engine


class Place:
    """What one actor reserves: cores, and GPUs where the cluster has them.

    An engine over several GPUs gets a placement group on one node (STRICT_PACK): the actor sits in it, and vLLM
    starts its ranks there.
    """

    def __init__(self, config: EngineConfig, actors: int) -> None:
        import ray

        total = ray.cluster_resources()
        wanted = config.device == "cuda" or (config.device == "auto" and total.get("GPU", 0) > 0)
        self.gpus = config.tensor_parallel_size if wanted else 0
        share = 1 if self.gpus else max(1, int(total.get("CPU", 1)) // actors)
        self.cpus = config.cpus or share
        self._group: Any = None
        if config.tensor_parallel_size > 1:
            self._group = self._packed_group(config.tensor_parallel_size)

    @property
    def ranks_apart(self) -> bool:
        """Whether the GPUs are reserved for ranks that run beside the actor."""
        return self.gpus > 0 and self._group is not None

    def options(self) -> dict[str, Any]:
        """For `ray.remote(...).options`."""
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        if self._group is None:
            return {"num_cpus": self.cpus, "num_gpus": self.gpus}
        strategy = PlacementGroupSchedulingStrategy(
            self._group, placement_group_bundle_index=0, placement_group_capture_child_tasks=True
        )
        # The GPUs of the group are for vLLM's ranks, which run in it as Ray workers.
        return {"num_cpus": self.cpus, "num_gpus": 0, "scheduling_strategy": strategy}

    def free(self) -> None:
        """Gives the placement group back."""
        if self._group is not None:
            from ray.util import remove_placement_group

            remove_placement_group(self._group)
            self._group = None

    def __str__(self) -> str:
        return f"{self.cpus} CPU" + (f" and {self.gpus} GPU" if self.gpus else "")

    def _packed_group(self, ranks: int) -> Any:
        from ray.util import placement_group

        gpu = {"GPU": 1} if self.gpus else {}
        first = {"CPU": self.cpus if self.gpus else max(self.cpus, ranks), **gpu}
        others = [dict(gpu) for _ in range(ranks - 1)] if self.gpus else []
        return placement_group([first, *others], strategy="STRICT_PACK")
