"""The pool of Ray actors, one warm engine each, that answers every (alpha, block of prompts)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Protocol

from adamms.generation.engine import Answer, Engine, EngineSpec
from adamms.generation.prompts import Prompt
from adamms.generation.schedule import Schedule, Unit
from adamms.merging.recipe import Recipe

ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class UnitResult:
    """A finished unit.

    Attributes:
        answers: one a prompt; empty if the unit failed for good.
        error: why it failed, in one line; None if it did not.
        digest: of the live merged weights that answered.
        move_seconds: time for re-merging, 0 if the engine stood at alpha already.
    """

    alpha: float
    answers: tuple[Answer, ...] = ()
    error: str | None = None
    digest: str = ""
    move_seconds: float = 0.0
    generate_seconds: float = 0.0
    actor: int = 0


class Line(Protocol):
    """The recipes of all candidates, by the value of the coefficient that is searched; a `Recipe` is one, by alpha."""

    def at(self, value: float, /) -> Recipe:
        """One candidate's recipe."""
        ...


class EngineActor:
    """Runs in a Ray actor. All its state follows from its arguments, so a restarted one goes on as before."""

    def __init__(self, spec: EngineSpec, index: int) -> None:
        self._spec, self._index = spec, index
        self._engine: Engine | None = None
        self._recipe: Recipe | None = None
        self._digest = ""

    def ready(self) -> None:
        """Starts the engine."""
        if self._engine is None:
            self._engine = self._spec.build()

    def answer(self, recipe: Recipe, prompts: Sequence[Prompt]) -> UnitResult:
        """Moves to the recipe where it does not stand there yet, and answers."""
        self.ready()
        assert self._engine is not None
        started = time.perf_counter()
        if recipe != self._recipe:
            self._recipe = None
            self._digest = self._engine.move(recipe)
            self._recipe = recipe
        moved = time.perf_counter()
        answers = self._engine.generate(prompts)
        return UnitResult(
            recipe.alpha,
            tuple(answers),
            digest=self._digest,
            move_seconds=moved - started,
            generate_seconds=time.perf_counter() - moved,
            actor=self._index,
        )


class InferencePool:
    """A context manager: actors start on entering and are killed on leaving, however that happens."""

    def __init__(self, spec: EngineSpec, actors: int) -> None:
        self._spec, self._count = spec, actors
        self._actors: list[Any] = []

    def __enter__(self) -> InferencePool:
        import ray

        actor = ray.remote(num_cpus=1, max_restarts=-1)(EngineActor)
        self._actors = [actor.remote(self._spec, index) for index in range(self._count)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import ray

        for actor in self._actors:
            ray.kill(actor)
        self._actors = []

    def answer(self, recipe: Line, work: Mapping[float, Sequence[Prompt]], block_size: int) -> Iterator[UnitResult]:
        """Answers every alpha's prompts; gives each unit's result as it comes.

        A unit whose actor dies or raises is tried again, wherever an actor is free; when its attempts are used up its
        alpha gets one result with an error, and the others go on.
        """
        import ray

        schedule = Schedule(work, block_size, ATTEMPTS)
        running: dict[Any, tuple[int, Unit]] = {}
        idle = list(range(len(self._actors)))
        while schedule.waiting or running:
            for index in list(idle):
                unit = schedule.take(index)
                if unit is None:
                    break
                idle.remove(index)
                reference = self._actors[index].answer.remote(recipe.at(unit.alpha), unit.prompts)
                running[reference] = (index, unit)
            for reference in ray.wait(list(running), num_returns=1)[0]:
                index, unit = running.pop(reference)
                idle.append(index)
                try:
                    yield replace(ray.get(reference), alpha=unit.alpha)
                except ray.exceptions.RayError as error:
                    if not schedule.failed(unit):
                        yield UnitResult(unit.alpha, error=_reason(error), actor=index)


def _reason(error: Exception) -> str:
    """The cause of a failed task in one line, without Ray's remote traceback."""
    cause = getattr(error, "cause", None) or error
    lines = [line for line in str(cause).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[0] if lines else ''}"
