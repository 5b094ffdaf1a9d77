"""Having every candidate answer what is not stored yet."""

from __future__ import annotations

from collections.abc import Sequence

from adamms.config import EngineConfig, RayConfig
from adamms.generation.engine import EngineSpec
from adamms.generation.pool import InferencePool
from adamms.generation.prompts import Prompt
from adamms.merging.recipe import Recipe
from adamms.progress import count_bar
from adamms.ray_session import ray_session
from adamms.searching.candidates import CandidateBook
from adamms.searching.responses import format_alpha
from adamms.searching.run_folder import RunFolder
from adamms.tracking import SearchTracker


def answer_all(
    spec: EngineSpec,
    recipe: Recipe,
    alphas: Sequence[float],
    prompts: Sequence[Prompt],
    run: RunFolder,
    *,
    engine: EngineConfig,
    ray: RayConfig,
    tracker: SearchTracker | None = None,
) -> CandidateBook:
    """Merges every candidate inside warm engines and stores its answers as they come.

    No engine starts where everything is stored already.
    """
    book = CandidateBook(run, alphas, prompts)
    report = tracker.log_candidate if tracker else lambda candidate: None
    for candidate in book.finished():
        report(candidate)
    work = run.missing(alphas, prompts)
    if not work:
        return book
    with (
        count_bar("answering", sum(map(len, work.values()))) as progress,
        ray_session(ray.address),
        InferencePool(spec, engine.actors) as pool,
    ):
        for result in pool.answer(recipe, work, engine.block_size):
            for candidate in book.add(result):
                report(candidate)
            progress(len(result.answers), f"alpha {format_alpha(result.alpha)}")
    return book
