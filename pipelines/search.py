"""Search alpha for one pair of models and one set of unlabelled prompts, and export the winner.

    python pipelines/search.py --config conf/demo.yaml [key=value ...]
    ray job submit --working-dir . -- python pipelines/search.py --config conf/demo.yaml [key=value ...]

The same command run again goes on where it stopped: no finished (alpha, prompt) is answered twice.
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adamms.checkpoint import Checkpoint
from adamms.cli import pipeline
from adamms.config import SearchSettings
from adamms.errors import UserError
from adamms.generation.engine import EngineSpec, Sampling
from adamms.generation.pool import InferencePool
from adamms.generation.prompts import Prompt, load_prompts
from adamms.mapping import MergePlan, plan_merge
from adamms.merging.recipe import Recipe
from adamms.merging.to_disk import merge_to_disk, was_merged_as
from adamms.progress import bytes_bar, count_bar
from adamms.ray_session import ray_session
from adamms.searching.alphas import check_alphas
from adamms.searching.candidates import CandidateBook
from adamms.searching.run_folder import RunFolder
from adamms.searching.selection import Selection, select
from adamms.searching.table import print_outcome
from adamms.tracking import SearchTracker


@dataclass(frozen=True)
class Pair:
    """The two models and the plan that merges them."""

    base: Checkpoint
    donor: Checkpoint
    plan: MergePlan


@pipeline
def main(settings: SearchSettings, force: bool) -> None:
    alphas = check_alphas(settings.searching.alphas)
    recipe = Recipe(settings.merging.method)
    prompts = load_prompts(settings.prompts)
    pair = map_pair(settings)
    run = RunFolder(Path(settings.run_dir), identity(settings, pair.plan, recipe))
    run.check_owner(alphas, prompts, force)
    run.write_json(run.plan_file, pair.plan.to_dict())
    with SearchTracker(settings.tracking, run.search_key, parameters(settings, pair.plan)) as tracker:
        book = answer_all(settings, pair.plan, recipe, alphas, prompts, run, tracker)
        selection = choose(settings, book, prompts)
        run.write_json(run.selection_file, selection.to_json())
        tracker.log_scores(book.scores(selection))
        tracker.log_selection(selection, [run.plan_file, run.selection_file])
        merged = export(settings, pair, recipe, selection, run)
    print_outcome(selection, merged, settings.tracking)


def map_pair(settings: SearchSettings) -> Pair:
    """Step 1: what corresponds, from headers and configs alone."""
    base, donor = Checkpoint.open(settings.base), Checkpoint.open(settings.donor)
    return Pair(base, donor, plan_merge(base, donor, settings.mapping))


def answer_all(
    settings: SearchSettings,
    plan: MergePlan,
    recipe: Recipe,
    alphas: list[float],
    prompts: list[Prompt],
    run: RunFolder,
    tracker: SearchTracker,
) -> CandidateBook:
    """Step 2 and 3: every candidate is merged inside a warm engine and answers what is not stored yet."""
    book = CandidateBook(run, alphas, prompts)
    for candidate in book.finished():
        tracker.log_candidate(candidate)
    work = run.missing(alphas, prompts)
    if not work:
        return book
    spec = EngineSpec(plan, settings.engine, settings.mapping.base_architecture, Sampling(settings.engine.max_tokens))
    total = sum(map(len, work.values()))
    with (
        count_bar("answering", total) as progress,
        ray_session(settings.ray.address),
        InferencePool(spec, settings.engine.actors) as pool,
    ):
        for result in pool.answer(recipe, work, settings.engine.block_size):
            for candidate in book.add(result):
                tracker.log_candidate(candidate)
            progress(len(result.answers), f"alpha {result.alpha}")
    return book


def choose(settings: SearchSettings, book: CandidateBook, prompts: list[Prompt]) -> Selection:
    """Step 3: the candidate whose answers change least towards its neighbours."""
    selection = select(
        book.responses(), settings.searching.metric, prompts={prompt.id: prompt.text for prompt in prompts}
    )
    if selection.alpha is None:
        raise UserError(f"searching.alphas: {selection.verdict}; try smaller or other alphas")
    return selection


def export(settings: SearchSettings, pair: Pair, recipe: Recipe, selection: Selection, run: RunFolder) -> Path:
    """The winner as a checkpoint, unless it stands there from an earlier run of the same search."""
    assert selection.alpha is not None
    winner = recipe.at(selection.alpha)
    if not was_merged_as(run.merged_folder, pair.plan, winner):
        with bytes_bar("exporting", pair.plan) as progress:
            merge_to_disk(
                pair.plan,
                pair.base,
                pair.donor,
                winner,
                run.merged_folder,
                force=True,
                workers=settings.merging.workers,
                progress=progress,
            )
    return run.merged_folder


def identity(settings: SearchSettings, plan: MergePlan, recipe: Recipe) -> dict[str, Any]:
    """All that an answer depends on but alpha and the prompt."""
    return {
        "plan": plan.fingerprint,
        "recipe": {name: value for name, value in recipe.to_dict().items() if name != "alpha"},
        "engine": [settings.engine.kind.value, settings.engine.dtype, settings.engine.max_tokens],
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "transformers")},
    }


def parameters(settings: SearchSettings, plan: MergePlan) -> dict[str, Any]:
    """What MLflow shows of a search and of each of its candidates."""
    return {
        "base": settings.base,
        "donor": settings.donor,
        "method": settings.merging.method,
        "metric": settings.searching.metric,
        "task": Path(settings.prompts.path).stem,
        "engine": settings.engine.kind.value,
        "plan": plan.fingerprint,
        "run_dir": str(Path(settings.run_dir).resolve()),
    }


if __name__ == "__main__":
    main()
