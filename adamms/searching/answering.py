"""Having candidates answer what is not stored yet, inside engines that stay warm until the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType

from adamms.engines.config import EngineConfig
from adamms.engines.engine import EngineSpec
from adamms.engines.noise import Noise, noise_floor
from adamms.engines.pool import InferencePool
from adamms.merging.config import MergeSettings
from adamms.merging.to_disk import runs_on_ray
from adamms.prompts.prompt import Prompt
from adamms.runs.responses import format_alpha
from adamms.runs.run_folder import RunFolder
from adamms.searching.budget import UNLIMITED, Budget
from adamms.searching.candidates import CandidateBook
from adamms.searching.coefficient import Line
from adamms.searching.observing import Observer
from adamms.support.progress import count_bar
from adamms.support.ray_session import RayConfig, ray_session
from adamms.tracking import CandidateRecord, SearchTracker


class Engines:
    """A context manager: engines start when they are first needed, and stay warm until the end.

    Searches with the same base share them, one after the other (`serve`).

    Args:
        budget: what the GPUs that they hold are counted in.
    """

    def __init__(self, ray: RayConfig, budget: Budget = UNLIMITED) -> None:
        self._ray, self._budget = ray, budget
        self._session, self._open = ExitStack(), ExitStack()
        self._spec: EngineSpec | None = None
        self._pool: InferencePool | None = None
        self._key = ""

    @property
    def started(self) -> bool:
        """Whether they are up."""
        return self._pool is not None

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
                self._session.enter_context(ray_session(self._ray.address))
            self._pool = self._open.enter_context(InferencePool(self._spec, self.config.actors))
            self._open.enter_context(self._budget.holding(self._pool.gpus))
            self._key = self._spec.engine_key
        self._pool.adopt(self._spec)
        return self._pool

    def serve(self, spec: EngineSpec) -> None:
        """What is asked from now on is of this plan; engines of another base are stopped first."""
        if self.started and spec.engine_key != self._key:
            self.stop()
        self._spec = spec

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

    def __enter__(self) -> Engines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._session.close()


class Answering:
    """Has candidates answer what is not stored yet.

    Args:
        line: the candidates.
        prompts: all that a candidate may be asked.
        budget: when to stop asking.
        title: which search this is, where there are several.
    """

    def __init__(
        self,
        engines: Engines,
        line: Line,
        prompts: Sequence[Prompt],
        run: RunFolder,
        tracker: SearchTracker | None = None,
        budget: Budget = UNLIMITED,
        title: str = "",
    ) -> None:
        self.book, self.budget = CandidateBook(run, prompts), budget
        self._engines, self._line, self._tracker, self._title = engines, line, tracker, title
        self._observer = Observer(title or run.folder.name)

    def answer(self, work: Mapping[float, Sequence[Prompt]]) -> bool:
        """Merges the candidates inside the engines and stores their answers as they come.

        Returns:
            Whether all was answered (or failed); False where the budget is over.
        """
        missing = self.book.missing(work)
        self._report(self.book.complete(work))
        if not missing:
            return True
        if self.budget.over:
            return False
        size, over = self._engines.config.block_size, lambda: self.budget.over is not None
        with count_bar(f"{self._title} answering".strip(), sum(map(len, missing.values()))) as progress:
            for result in self._engines.pool.answer(self._line, missing, size, until=over):
                self.book.add(result)
                self._observer.note(result)
                self._report(self.book.complete([result.alpha]))
                progress(len(result.answers), f"{self._line.coefficient} {format_alpha(result.alpha)}")
        return not self.book.missing(work)

    def report_incomplete(self) -> None:
        """At the end: candidates that the search stopped short of."""
        self._report(self.book.incomplete())

    def noise(self, value: float, prompts: Sequence[Prompt]) -> Noise | None:
        """How many answers of one candidate differ by chance; not measured where no engine was needed."""
        if not self._engines.started or not prompts:
            return None
        return noise_floor(self._engines.pool, self._line.at(value), prompts, self._engines.config.block_size)

    def _report(self, candidates: Iterable[CandidateRecord]) -> None:
        for candidate in candidates:
            if self._tracker is not None:
                self._tracker.log_candidate(candidate)


def answer_all(
    spec: EngineSpec,
    line: Line,
    alphas: Sequence[float],
    prompts: Sequence[Prompt],
    run: RunFolder,
    ray: RayConfig,
) -> CandidateBook:
    """Every candidate's answers to every prompt."""
    with Engines(ray) as engines:
        engines.serve(spec)
        answering = Answering(engines, line, prompts, run)
        answering.answer(dict.fromkeys(alphas, prompts))
    return answering.book
