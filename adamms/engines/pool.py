"""The pool of Ray actors, one warm engine each, that answers every (alpha, block of prompts)."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from types import TracebackType
from typing import Any, Protocol

from adamms.engines.actor import Adopted, EngineActor, Place, UnitResult
from adamms.engines.engine import EngineSpec
from adamms.engines.schedule import Schedule, Unit
from adamms.errors import UserError
from adamms.merging.recipe import Recipe
from adamms.prompts.prompt import Prompt

__all__ = ["InferencePool", "UnitResult"]

ATTEMPTS = 3
STARTS = 3  # an actor that dies while starting, so often in a row, is given up
POLL_SECONDS = 1.0
WAKE_SECONDS = 0.5

log = logging.getLogger(__name__)


class Line(Protocol):
    """The recipes of all candidates, by the value of the coefficient that is searched; a `Recipe` is one, by alpha."""

    def at(self, value: float, /) -> Recipe:
        """One candidate's recipe."""
        ...


class _Doing(Enum):
    waking = "its process comes up"
    starting = "its engine starts"
    answering = "it answers a unit"


@dataclass
class _Call:
    """What an actor is at. `since`: when its process was asked for, or, answering, when it got the unit."""

    actor: int
    doing: _Doing
    since: float
    unit: Unit | None = None  # None while answering: nobody waits for it any more


class InferencePool:
    """A context manager: actors start on entering and are killed on leaving, however that happens.

    An actor that dies, hangs, or raises is started anew by Ray, and gets work again once its engine is ready.
    """

    def __init__(self, spec: EngineSpec, actors: int) -> None:
        self._spec, self._count = spec, actors
        self._actors: list[Any] = []
        self._places: list[Place] = []
        self._calls: dict[Any, _Call] = {}
        self._idle: list[int] = []
        self._failed_starts: Counter[int] = Counter()
        self._given_up: list[str] = []
        self._blocks: dict[tuple[Prompt, ...], Any] = {}
        self._answered = _Answered()
        self._adopted: Adopted | None = None

    def __enter__(self) -> InferencePool:
        import ray

        self._adopted = Adopted(self._spec.plan.fingerprint, (ray.put(self._spec),))
        now = time.monotonic()
        try:
            for index in range(self._count):
                place = Place(self._spec.config, self._count)
                self._places.append(place)
                remote = ray.remote(max_restarts=-1, max_task_retries=0)(EngineActor).options(**place.options())
                self._actors.append(remote.remote(self._spec, index, place.cpus, place.ranks_apart))
                self._wake(index, now)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    @property
    def gpus(self) -> int:
        """How many all its engines hold."""
        return sum(place.gpus for place in self._places)

    def adopt(self, spec: EngineSpec) -> None:
        """What is answered from now on is by another plan for the same base (`EngineSpec.engine_key`)."""
        import ray

        if spec.plan.fingerprint != self._spec.plan.fingerprint:
            self._adopted = Adopted(spec.plan.fingerprint, (ray.put(spec),))
            self._answered = _Answered()
        self._spec = spec

    def answer(
        self,
        recipe: Line,
        work: Mapping[float, Sequence[Prompt]],
        block_size: int,
        *,
        drafts: bool = True,
        until: Callable[[], bool] = lambda: False,
    ) -> Iterator[UnitResult]:
        """Answers every alpha's prompts; gives each unit's result as it comes.

        A unit whose actor dies, hangs or raises is tried again, wherever an actor is free; when its attempts are used
        up its alpha gets one result with an error, and the others go on.

        Args:
            drafts: whether answers of other candidates may be tried, where `engine.drafts` allows it.
            until: asked now and then; once it is true nothing more is waited for.

        Raises:
            UserError: an engine met something that the user can mend.
            RuntimeError: no engine starts.
        """
        schedule = Schedule(work, block_size, ATTEMPTS)
        try:
            while (schedule.waiting or any(call.unit for call in self._calls.values())) and not until():
                self._dispatch(schedule, recipe, drafts and self._spec.config.drafts)
                for call, outcome in self._finished():
                    result = self._settle(schedule, call, outcome)
                    if result is not None:
                        yield result
                self._check_hanging()
        finally:  # also when the caller has seen enough: what still runs is waited for, and its result dropped
            for call in self._calls.values():
                call.unit = None

    def _dispatch(self, schedule: Schedule, recipe: Line, drafts: bool) -> None:
        for index in list(self._idle):
            unit = schedule.take(index)
            if unit is None:
                return
            self._idle.remove(index)
            tokens = self._answered.near(unit) if drafts else {}
            reference = self._actors[index].answer.remote(
                self._adopted, recipe.at(unit.alpha), self._block(unit.prompts), tokens
            )
            self._calls[reference] = _Call(index, _Doing.answering, time.monotonic(), unit)

    def _finished(self) -> list[tuple[_Call, Any]]:
        """Calls that have ended since, with what came of them: a value or Ray's error."""
        import ray

        if not self._calls:
            raise RuntimeError(f"no engine starts: {'; '.join(sorted(set(self._given_up)))}")
        ended = ray.wait(list(self._calls), num_returns=len(self._calls), timeout=0)[0]
        ended = ended or ray.wait(list(self._calls), num_returns=1, timeout=POLL_SECONDS)[0]
        outcomes = []
        for reference in ended:
            try:
                outcome: Any = ray.get(reference)
            except ray.exceptions.RayError as error:
                outcome = error
            outcomes.append((self._calls.pop(reference), outcome))
        return outcomes

    def _settle(self, schedule: Schedule, call: _Call, outcome: Any) -> UnitResult | None:
        """Takes note of an ended call; gives the result that it is for the caller, if any."""
        if isinstance(outcome, Exception):
            return self._settle_failure(schedule, call, outcome)
        if call.doing == _Doing.waking:
            self._calls[self._actors[call.actor].ready.remote()] = replace(call, doing=_Doing.starting)
            return None
        self._idle.append(call.actor)
        self._failed_starts.pop(call.actor, None)
        if call.unit is None or schedule.given_up(call.unit.alpha):
            return None
        assert isinstance(outcome, UnitResult)
        result = replace(outcome, alpha=call.unit.alpha)  # of whichever coefficient is searched
        self._answered.add(result)
        return result

    def _settle_failure(self, schedule: Schedule, call: _Call, error: Exception) -> UnitResult | None:
        import ray

        cause = getattr(error, "cause", None)
        if isinstance(cause, UserError):
            raise cause from None
        if isinstance(error, ray.exceptions.RayTaskError):
            # It raised and lives on; what state its engine is in nobody knows, so a new process takes over.
            ray.kill(self._actors[call.actor], no_restart=False)
        reason = _reason(error)
        if call.doing == _Doing.answering:
            self._wake(call.actor, time.monotonic())
            if call.unit is None:
                return None
            log.warning("alpha %g, attempt %d: %s", call.unit.alpha, call.unit.attempt, reason)
            return UnitResult(call.unit.alpha, error=reason, actor=call.actor) if schedule.gives_up(call.unit) else None
        if call.doing == _Doing.starting:
            self._failed_starts[call.actor] += 1
        if self._failed_starts[call.actor] < STARTS:
            time.sleep(WAKE_SECONDS)  # Ray is restarting the process, and takes no calls yet
            self._wake(call.actor, call.since)
        else:
            self._given_up.append(reason)
            log.warning("actor %d is given up, its engine does not start: %s", call.actor, reason)
        return None

    def _wake(self, actor: int, since: float) -> None:
        """Waits for the actor's process; its engine is started when that is there."""
        self._calls[self._actors[actor].awake.remote()] = _Call(actor, _Doing.waking, since)

    def _check_hanging(self) -> None:
        """Kills actors that are at one unit for too long; raises if no engine is ready in time."""
        import ray

        now, config = time.monotonic(), self._spec.config
        working = [call for call in self._calls.values() if call.doing == _Doing.answering]
        for call in working:
            if config.unit_timeout_s and now - call.since > config.unit_timeout_s:
                log.warning("actor %d: no answers in %g s (engine.unit_timeout_s)", call.actor, config.unit_timeout_s)
                ray.kill(self._actors[call.actor], no_restart=False)
                call.since = now  # its call ends with an error soon
        if working or self._idle or not self._calls or not config.start_timeout_s:
            return
        if now - min(call.since for call in self._calls.values()) > config.start_timeout_s:
            raise UserError(
                f"no engine is ready after {config.start_timeout_s:g} s; each needs {self._places[0]} of the cluster, "
                f"which has {_resources()}; lower engine.cpus or engine.actors, or raise engine.start_timeout_s"
            )

    def _block(self, prompts: tuple[Prompt, ...]) -> Any:
        """The prompts in Ray's object store, where they are put once for all alphas."""
        import ray

        if prompts not in self._blocks:
            self._blocks[prompts] = ray.put(prompts)
        return self._blocks[prompts]

    def _close(self) -> None:
        import ray

        for actor in self._actors:
            ray.kill(actor)
        for place in self._places:
            place.free()
        self._actors, self._places, self._calls, self._idle, self._blocks = [], [], {}, [], {}


class _Answered:
    """Answers so far, as drafts for other candidates."""

    def __init__(self) -> None:
        self._tokens: dict[str, dict[float, tuple[int, ...]]] = {}

    def add(self, result: UnitResult) -> None:
        for answer in result.answers:
            self._tokens.setdefault(answer.prompt_id, {})[result.alpha] = answer.tokens

    def near(self, unit: Unit) -> dict[str, tuple[int, ...]]:
        """For each prompt that some candidate has answered, what the nearest one did; of two, the smaller alpha."""
        drafts = {}
        for prompt in unit.prompts:
            by_alpha = self._tokens.get(prompt.id)
            if by_alpha:
                drafts[prompt.id] = by_alpha[min(by_alpha, key=lambda alpha: (abs(alpha - unit.alpha), alpha))]
        return drafts


def _resources() -> str:
    import ray

    found = ray.cluster_resources()
    return f"{found.get('CPU', 0):g} CPU and {found.get('GPU', 0):g} GPU"


def _reason(error: Exception) -> str:
    """The cause of a failed task in one line, without Ray's remote traceback."""
    cause = getattr(error, "cause", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[0] if lines else ''}"
