"""The pool of Ray actors, one warm engine each, that answers every (candidate, block of prompts)."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from types import TracebackType
from typing import Any, Self

from adamms.engines.actor import Adopted, EngineActor, UnitResult
from adamms.engines.drafts import Drafts
from adamms.engines.engine import EngineSpec
from adamms.engines.failures import Failure
from adamms.engines.identity import EngineIdentity
from adamms.engines.registry import engine_class
from adamms.engines.reservation import Reservation
from adamms.engines.schedule import Schedule, Unit, forget
from adamms.engines.waiting import Waiting
from adamms.errors import UserError
from adamms.merging.candidate import Candidate
from adamms.prompts.prompt import Prompt

ATTEMPTS = 3
POLL_SECONDS = 1.0
WAKE_SECONDS = 0.5
PROCESS_SECONDS = 3.0  # a process comes up within this time where the cluster has room

log = logging.getLogger(__name__)


class _Doing(Enum):
    waking = "its process comes up"
    starting = "its engine starts"
    answering = "it answers a unit"


@dataclass
class _Call:
    """What an actor is at. `since`: when its process was asked for, or when who waits for it began to; answering, when
    it got the unit."""

    actor: int
    doing: _Doing
    since: float
    unit: Unit | None = None  # None while answering: nobody waits for it any more


class InferencePool:
    """A context manager: actors start on entering and are killed on leaving, however that happens.

    An actor that dies, hangs, or raises is started anew by Ray, and gets work again once its engine is ready. All
    engines have to be of one identity (kind, dtype, device, versions).

    Args:
        told: called with a sentence about what is waited for, when that changes and every few seconds, and when an
            engine is restarted or given up.
        holds: called with the number of GPUs that an engine holds from now on, once the pool learns that it has them.
    """

    def __init__(
        self,
        spec: EngineSpec,
        actors: int,
        told: Callable[[str], None] = lambda sentence: None,
        holds: Callable[[int], None] = lambda gpus: None,
    ) -> None:
        self._spec, self._count, self._holds = spec, actors, holds
        self._waiting = Waiting(told)
        self._holding: set[int] = set()
        self._actors: list[Any] = []
        self._reservations: list[Reservation] = []
        self._calls: dict[Any, _Call] = {}
        self._idle: list[int] = []
        self._failed_starts: Counter[int] = Counter()
        self._given_up: list[str] = []
        self._refused: UserError | None = None
        self._blocks: dict[tuple[Prompt, ...], Any] = {}
        self._drafts = Drafts()
        self._had: dict[str, set[int]] = {}  # see `Schedule`
        self._adopted: Adopted | None = None
        self._identity: EngineIdentity | None = None

    def __enter__(self) -> Self:
        import ray

        self._adopted = Adopted(self._spec.plan.fingerprint, (ray.put(self._spec),))
        now = time.monotonic()
        try:
            for index in range(self._count):
                reservation = Reservation(self._spec.config, self._count)
                self._reservations.append(reservation)
                remote = ray.remote(max_restarts=-1, max_task_retries=0)(EngineActor).options(**reservation.options())
                self._actors.append(remote.remote(index, reservation.ranks_apart))
                self._wake(index, now)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def identity(self) -> EngineIdentity:
        """What answers; waits until the first engine is ready.

        Raises:
            UserError, RuntimeError: as `answer`.
        """
        nothing = Schedule({}, 1, ATTEMPTS)
        self._forget_earlier()
        while self._identity is None:
            list(self._step(nothing))
        return self._identity

    def adopt(self, spec: EngineSpec) -> None:
        """What is answered from now on is by another plan for the same base (`EngineSpec.engine_key`)."""
        import ray

        if spec.plan.fingerprint != self._spec.plan.fingerprint:
            self._adopted = Adopted(spec.plan.fingerprint, (ray.put(spec),))
            self._drafts, self._blocks = Drafts(), {}
        self._spec = spec

    def answer(
        self,
        work: Mapping[Candidate, Sequence[Prompt]],
        block_size: int,
        *,
        drafts: bool = True,
        until: Callable[[], bool] = lambda: False,
    ) -> Iterator[UnitResult]:
        """Answers every candidate's prompts; gives each unit's result as it comes.

        A unit whose actor dies, hangs or raises is tried again, wherever an actor is free; when its attempts are used
        up its candidate gets one result with an error, and the others go on.

        Args:
            drafts: whether answers of other candidates may be tried, where `engine.drafts` allows it.
            until: asked now and then; once it is true nothing more is waited for.

        Raises:
            UserError: an engine met something that the user can mend, or engines are not all of one identity.
            RuntimeError: no engine starts.
        """
        schedule = Schedule(work, block_size, ATTEMPTS, self._had)
        self._forget_earlier()
        try:
            while (schedule.waiting or any(call.unit for call in self._calls.values())) and not until():
                self._dispatch(schedule, drafts and self._spec.config.drafts)
                yield from self._step(schedule)
        finally:  # also when the caller has seen enough: what still runs is waited for, and its result dropped
            for call in self._calls.values():
                call.unit = None

    def _forget_earlier(self) -> None:
        """Somebody else asks: what the one before had to mend is not told, and engines have the whole time to start."""
        self._refused, now = None, time.monotonic()
        for call in self._calls.values():
            if call.doing != _Doing.answering:
                call.since = now

    def _dispatch(self, schedule: Schedule, drafts: bool) -> None:
        if not self._idle:
            return
        assert self._identity is not None, "whoever is idle has started"
        keeps_images = engine_class(self._identity.kind).keeps_images(self._spec.config)
        for index in list(self._idle):
            unit = schedule.take(index, keeps_images)
            if unit is None:
                return
            self._idle.remove(index)
            tokens = self._drafts.near(unit) if drafts else {}
            block = self._block(unit.prompts)
            reference = self._actors[index].answer.remote(self._adopted, unit.candidate, block, tokens)
            self._calls[reference] = _Call(index, _Doing.answering, time.monotonic(), unit)

    def _step(self, schedule: Schedule) -> Iterator[UnitResult]:
        """Waits a moment for calls to end; gives the results among them. All are settled before the first
        is given, or what the user can mend is raised, so that no actor is lost to who asks next."""
        results = [self._settle(schedule, call, outcome) for call, outcome in self._finished()]
        yield from (result for result in results if result is not None)
        if self._refused is not None:
            raise self._refused from None
        self._check_hanging()
        self._say_what_is_waited_for()

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
            return self._settle_failure(schedule, call, Failure.of(outcome))
        if call.doing == _Doing.waking:
            if call.actor not in self._holding:  # a process that is restarted keeps its GPUs
                self._holding.add(call.actor)
                self._holds(self._reservations[call.actor].gpus)
            self._calls[self._actors[call.actor].ready.remote(self._adopted)] = replace(call, doing=_Doing.starting)
            return None
        if call.doing == _Doing.starting and (problem := self._check_identity(call.actor, outcome)):
            self._refuse(call.actor, problem)
            return None
        self._idle.append(call.actor)
        self._failed_starts.pop(call.actor, None)
        if call.unit is None or schedule.given_up(call.unit.candidate):
            return None
        assert isinstance(outcome, UnitResult)
        self._drafts.add(outcome.candidate, outcome.answers)
        return outcome

    def _check_identity(self, actor: int, identity: EngineIdentity) -> UserError | None:
        self._identity = self._identity or identity
        if identity == self._identity:
            return None
        return UserError(
            f"engine {actor} is {identity}, the first one {self._identity}: answers of both cannot be compared; "
            "give all machines the same packages, and set engine.kind, engine.dtype and engine.device"
        )

    def _settle_failure(self, schedule: Schedule, call: _Call, failure: Failure) -> UnitResult | None:
        import ray

        if failure.user_error is not None:
            self._refuse(call.actor, failure.user_error)
            return None
        if failure.raised:
            # It lives on, and what state its engine is in nobody knows: a new process takes over.
            ray.kill(self._actors[call.actor], no_restart=False)
        forget(self._had, call.actor)
        if call.doing == _Doing.answering:
            return self._settle_failed_unit(schedule, call, failure)
        if call.doing == _Doing.starting:
            self._failed_starts[call.actor] += 1
        if self._failed_starts[call.actor] >= failure.starts:
            self._given_up.append(failure.reason)
            self._waiting.note(f"giving up engine {call.actor}, which does not start: {failure.reason}")
            return None
        if call.doing == _Doing.starting:
            self._waiting.note(f"restarting engine {call.actor}: {failure.reason}")
        time.sleep(WAKE_SECONDS)  # Ray is restarting the process, and takes no calls yet
        self._wake(call.actor, call.since)
        return None

    def _refuse(self, actor: int, error: UserError) -> None:
        """Has `_step` raise what the user can mend; the actor starts anew, for who asks next."""
        import ray

        self._refused = self._refused or error
        ray.kill(self._actors[actor], no_restart=False)
        forget(self._had, actor)
        self._wake(actor, time.monotonic())

    def _settle_failed_unit(self, schedule: Schedule, call: _Call, failure: Failure) -> UnitResult | None:
        self._waiting.note(f"restarting engine {call.actor}: {failure.reason}")
        self._wake(call.actor, time.monotonic())
        if call.unit is None:
            return None
        candidate = call.unit.candidate
        log.warning("candidate %g, attempt %d: %s", candidate.value, call.unit.attempt, failure.reason)
        return UnitResult(candidate, error=failure.reason, actor=call.actor) if schedule.gives_up(call.unit) else None

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
                log.warning("engine %d: no answers in %g s (engine.unit_timeout_s)", call.actor, config.unit_timeout_s)
                ray.kill(self._actors[call.actor], no_restart=False)
                call.since = now  # its call ends with an error soon
        if working or self._idle or not self._calls or not config.start_timeout_s:
            return
        if now - min(call.since for call in self._calls.values()) > config.start_timeout_s:
            raise UserError(
                f"no engine is ready after {config.start_timeout_s:g} s; each needs {self._reservations[0]} of the "
                f"cluster, which has {_amounts(ray.cluster_resources())}; lower engine.cpus or engine.actors, or raise "
                "engine.start_timeout_s"
            )

    def _say_what_is_waited_for(self) -> None:
        """Nothing is waited for while some engine answers."""
        calls = list(self._calls.values())
        if self._idle or not calls or any(call.doing == _Doing.answering for call in calls):
            self._waiting.over()
            return
        loading = [call for call in calls if call.doing == _Doing.starting]
        since = min(call.since for call in loading or calls)
        if loading:
            names = ", ".join(map(str, sorted(call.actor for call in loading)))
            many = len(loading) > 1
            self._waiting.say(f"engine{'s' * many} {names} {'are' if many else 'is'} loading", since)
        elif time.monotonic() - since < PROCESS_SECONDS:
            self._waiting.say("starting the engines' processes", since)
        else:
            self._waiting.say(f"waiting for the cluster: each engine needs {self._reservations[0]}", since, _free)

    def _block(self, prompts: tuple[Prompt, ...]) -> Any:
        """The prompts in Ray's object store, where they are put once for all candidates of a plan."""
        import ray

        if prompts not in self._blocks:
            self._blocks[prompts] = ray.put(prompts)
        return self._blocks[prompts]

    def _close(self) -> None:
        import ray

        for actor in self._actors:
            ray.kill(actor)
        for reservation in self._reservations:
            reservation.free()
        self._actors, self._reservations, self._calls, self._idle, self._blocks = [], [], {}, [], {}


def _free() -> str:
    import ray

    return f", {_amounts(ray.available_resources())} free"


def _amounts(resources: Mapping[str, float]) -> str:
    return f"{resources.get('CPU', 0):g} CPU and {resources.get('GPU', 0):g} GPU"
