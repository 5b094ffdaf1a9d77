import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adamms.engines.engine import NO_EFFORT, Answer, Effort, Engine
from adamms.engines.identity import EngineIdentity
from adamms.engines.peak import NO_MEMORY, PeakMemory
from adamms.engines.registry import build
from adamms.merging.candidate import Candidate
from adamms.prompts.prompt import Prompt


@dataclass(frozen=True, slots=True)
class UnitResult:
    """A finished unit: one candidate's answers to a block of prompts.

    Attributes:
        answers: one a prompt; empty if the unit failed for good.
        error: why it failed, in one line; None if it did not.
        digest: of the live merged weights that answered.
        move_seconds: time for re-merging, 0 if the engine stood at the candidate already.
        actor: index of the engine that answered.
        effort: what answering cost.
        memory: the engine's peak meanwhile.
    """

    candidate: Candidate
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
    """The plan that units are to be answered by, small enough to come with every call.

    Attributes:
        plan: the plan's fingerprint.
        spec: Ray's reference to the `EngineSpec`, in a tuple: Ray resolves a lone one on every call, an actor fetches
            this one once.
    """

    plan: str
    spec: tuple[Any]


class EngineActor:
    """Builds an engine from the spec that comes with its calls, so that a restarted one goes on as before.

    Its constructor takes only small values. A real model's plan is too large to travel inside a call: Ray would put it
    into its object store, and does not restart an actor whose constructor arguments lie there.

    Args:
        index: which engine of the pool this is.
        ranks_apart: vLLM's ranks are Ray workers of their own. Then Ray hides every GPU from this process, which
            has to see them to find out what they are.
    """

    def __init__(self, index: int, ranks_apart: bool = False) -> None:
        self._index = index
        self._engine: Engine | None = None
        self._plan = ""
        self._candidate: Candidate | None = None
        self._digest = ""
        if ranks_apart:
            os.environ.pop("CUDA_VISIBLE_DEVICES", None)

    def awake(self) -> None:
        """Returns once the process is there."""

    def ready(self, adopted: Adopted) -> EngineIdentity:
        """Starts the engine, unless it runs already, and says what it turned out to be."""
        import ray

        if self._engine is None:
            self._engine, self._plan = build(ray.get(adopted.spec[0])), adopted.plan
        return self._engine.identity

    def answer(
        self, adopted: Adopted, candidate: Candidate, prompts: Sequence[Prompt], drafts: Mapping[str, Sequence[int]]
    ) -> UnitResult:
        """Goes over to the plan and moves to the candidate's recipe where it does not stand there yet, and answers.

        Raises:
            RuntimeError: this process was restarted since it was `ready`; it has to be asked again.
        """
        started = time.perf_counter()
        engine = self._engine_of(adopted)
        before = engine.effort
        engine.take_peak()  # what was before this unit, such as loading the models, is not its own
        if candidate != self._candidate:
            self._candidate = None
            self._digest = engine.move(candidate.recipe)
            self._candidate = candidate
        moved = time.perf_counter()
        answers = engine.answer(prompts, drafts)
        return UnitResult(
            candidate,
            tuple(answers),
            digest=self._digest,
            move_seconds=moved - started,
            generate_seconds=time.perf_counter() - moved,
            actor=self._index,
            effort=engine.effort - before,
            memory=engine.take_peak(),
        )

    def _engine_of(self, adopted: Adopted) -> Engine:
        """The engine, gone over to the plan that is wanted."""
        import ray

        if self._engine is None:
            raise RuntimeError("the engine's process was restarted")
        if adopted.plan != self._plan:
            self._candidate = None
            self._engine.adopt(ray.get(adopted.spec[0]).plan)
            self._plan = adopted.plan
        return self._engine
