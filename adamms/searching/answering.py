"""Having candidates answer what is not stored yet, inside engines that stay warm until the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType

from adamms.config import EngineConfig, RayConfig
from adamms.generation.engine import EngineSpec
from adamms.generation.noise import Noise, noise_floor
from adamms.generation.pool import InferencePool
from adamms.generation.prompts import Prompt
from adamms.progress import count_bar
from adamms.ray_session import ray_session
from adamms.searching.alphas import Line
from adamms.searching.candidates import CandidateBook
from adamms.searching.responses import format_alpha
from adamms.searching.run_folder import RunFolder
from adamms.tracking import CandidateRecord, SearchTracker


class Answering:
    """A context manager around the engines; they start with the first prompt that is not answered already.

    Args:
        prompts: all that a candidate may be asked.
    """

    def __init__(
        self,
        spec: EngineSpec,
        line: Line,
        prompts: Sequence[Prompt],
        run: RunFolder,
        *,
        engine: EngineConfig,
        ray: RayConfig,
        tracker: SearchTracker | None = None,
    ) -> None:
        self.book = CandidateBook(run, prompts)
        self._spec, self._line, self._engine, self._ray, self._tracker = spec, line, engine, ray, tracker
        self._open = ExitStack()
        self._pool: InferencePool | None = None

    def answer(self, work: Mapping[float, Sequence[Prompt]]) -> None:
        """Merges the candidates inside the engines and stores their answers as they come."""
        missing = self.book.missing(work)
        self._report(self.book.complete(work))
        if not missing:
            return
        with count_bar("answering", sum(map(len, missing.values()))) as progress:
            for result in self._warm_pool().answer(self._line, missing, self._engine.block_size):
                self.book.add(result)
                self._report(self.book.complete([result.alpha]))
                progress(len(result.answers), f"alpha {format_alpha(result.alpha)}")

    def noise(self, value: float, prompts: Sequence[Prompt]) -> Noise | None:
        """How many answers of one candidate differ by chance; not measured where no engine was needed."""
        if self._pool is None or not prompts:
            return None
        return noise_floor(self._pool, self._line.at(value), prompts, self._engine.block_size)

    def __enter__(self) -> Answering:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._report(self.book.incomplete())
        self._open.close()

    def _warm_pool(self) -> InferencePool:
        if self._pool is None:
            self._open.enter_context(ray_session(self._ray.address))
            self._pool = self._open.enter_context(InferencePool(self._spec, self._engine.actors))
        return self._pool

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
    *,
    engine: EngineConfig,
    ray: RayConfig,
) -> CandidateBook:
    """Every candidate's answers to every prompt."""
    with Answering(spec, line, prompts, run, engine=engine, ray=ray) as answering:
        answering.answer(dict.fromkeys(alphas, prompts))
    return answering.book
