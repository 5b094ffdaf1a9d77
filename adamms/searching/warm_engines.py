"""Engines that start when they are first needed and stay warm until the end, for one study after the other."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

from adamms.engines.config import EngineConfig
from adamms.engines.engine import EngineSpec
from adamms.engines.pool import InferencePool
from adamms.engines.registry import needed_gpus
from adamms.merging.config import MergeSettings
from adamms.merging.to_disk import runs_on_ray
from adamms.searching.budget import UNLIMITED, Budget, Usage
from adamms.support.ray_session import RayConfig, ray_session


class WarmEngines(AbstractContextManager["WarmEngines"]):
    """A context manager. Studies with the same base share the engines, one after the other (`serve`).

    Args:
        budget: what the GPUs that they hold are counted in.
    """

    def __init__(self, ray: RayConfig, budget: Budget = UNLIMITED) -> None:
        self._ray, self._budget, self._held = ray, budget, Usage()
        self._session, self._open = ExitStack(), ExitStack()
        self._spec: EngineSpec | None = None
        self._tell: Callable[[str], None] = lambda _: None
        self._pool: InferencePool | None = None
        self._key = ""

    @property
    def started(self) -> bool:
        """Whether they are up."""
        return self._pool is not None

    @property
    def gpu_hours(self) -> float:
        """How long they have held GPUs, times how many, since this was made."""
        return self._held.gpu_hours

    @property
    def config(self) -> EngineConfig:
        """Of the plan that is served."""
        assert self._spec is not None, "serve comes first"
        return self._spec.config

    @property
    def pool(self) -> InferencePool:
        """The warm pool, at the plan that is served."""
        assert self._spec is not None, "serve comes first"
        if self._pool is None:
            if not self._key:
                # imports the engines' classes; while Ray starts it may unpack a job's working directory anew
                needed_gpus(self._spec.config)
                self._tell("starting Ray")
                self._session.enter_context(ray_session(self._ray.address))
            self._tell("starting engines")
            pool = InferencePool(self._spec, self.config.actors, lambda what: self._tell(what), self._hold)
            self._pool = self._open.enter_context(pool)
            self._key = self._spec.engine_key
        self._pool.adopt(self._spec)
        return self._pool

    def _hold(self, gpus: int) -> None:
        """Counts GPUs until the engines are stopped."""
        for counted in (self._budget.usage, self._held):
            self._open.enter_context(counted.holding(gpus))

    def serve(self, spec: EngineSpec, tell: Callable[[str], None] = lambda _: None) -> None:
        """What is asked from now on is of this plan; engines of another base are stopped first.

        Args:
            tell: is told what is waited for, in words.
        """
        if self.started and spec.engine_key != self._key:
            self.stop()
        self._spec, self._tell = spec, tell

    def stop(self) -> None:
        """Gives the engines' machines back; they start anew when they are needed again."""
        self._pool = None
        self._open.close()

    def make_room(self, settings: MergeSettings) -> None:
        """Stops the engines where they hold what a merge on Ray would wait for."""
        if not self.started or not runs_on_ray(settings.merging, settings.ray):
            return
        from adamms.merging.on_ray import has_room

        if not has_room(settings.merging):
            self.stop()

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._session.close()
