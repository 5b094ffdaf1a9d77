"""Search alpha for one pair of models and one set of unlabelled prompts, and export the winner.

    python pipelines/search.py --config conf/demo.yaml [key=value ...]
    ray job submit --working-dir . -- python pipelines/search.py --config conf/demo.yaml [key=value ...]

The same command run again goes on where it stopped: no finished (alpha, prompt) is answered twice.
"""

from __future__ import annotations

from pathlib import Path

from adamms.cli import pipeline
from adamms.config import SearchSettings
from adamms.errors import UserError
from adamms.generation.engine import EngineSpec
from adamms.generation.prompts import load_prompts
from adamms.mapping import PlannedPair, plan_pair
from adamms.merging.companions import was_merged_as
from adamms.merging.recipe import Recipe
from adamms.merging.to_disk import check_ancestor, merge_to_disk
from adamms.progress import bytes_bar
from adamms.ray_session import warn_if_temporary
from adamms.searching.alphas import check_alphas
from adamms.searching.answering import answer_all
from adamms.searching.candidates import CandidateBook
from adamms.searching.metrics import get_metric
from adamms.searching.run_folder import RunFolder, answer_identity
from adamms.searching.selection import Selection, select
from adamms.searching.table import print_outcome
from adamms.tracking import Costs, SearchTracker, Story, search_parameters, settings_text, write_report

ENGINES = "starting engines"


@pipeline
def main(settings: SearchSettings, force: bool) -> None:
    # everything the user can mend is found before anything is written
    alphas = check_alphas(settings.searching.alphas)
    metric = get_metric(settings.searching.metric)
    recipe = Recipe.of(settings.merging, alpha=alphas[0])
    check_ancestor(recipe, settings.ancestor)
    prompts = load_prompts(settings.prompts)
    costs = Costs(Path(settings.run_dir) / "costs.json")
    with costs.phase("mapping"):
        pair = plan_pair(settings)
    run = RunFolder(Path(settings.run_dir), answer_identity(pair.plan, recipe, settings.engine))
    run.check_owner(alphas, prompts, force)
    warn_if_temporary(run.folder)

    spec = EngineSpec(pair.plan, settings.engine, settings.mapping.base_architecture)
    params = search_parameters(settings, pair.plan)
    with SearchTracker(settings.tracking, run.search_key, params, run.folder) as tracker:
        run.write_json(run.plan_file, pair.plan.to_dict())
        run.write_text(run.settings_file, settings_text(settings))
        tracker.log_prompts(settings.prompts, prompts)
        with costs.phase(ENGINES):
            book = answer_all(
                spec, recipe, alphas, prompts, run, engine=settings.engine, ray=settings.ray, tracker=tracker
            )
        split(costs, book, settings)
        with costs.phase("choosing"):
            questions = {prompt.id: prompt.text for prompt in prompts}
            selection = select(book.responses(), metric, prompts=questions)
        run.write_json(run.selection_file, selection.to_json())
        tracker.log_scores(book.scores(selection))
        tracker.log_selection(selection)
        with costs.phase("exporting"):
            merged = export(settings, pair, recipe, selection, run)
        costs.save()
        tracker.log_winner(selection, merged)
        report(tracker, Story.of(run, pair.plan, prompts), run)
    print_outcome(selection, merged, settings.tracking)
    print(f"report:     {run.folder / 'report.html'}")


def split(costs: Costs, book: CandidateBook, settings: SearchSettings) -> None:
    """Takes what actors measured out of the time spent on answering; the rest is starting engines and waiting."""
    for phase, seconds in zip(("re-merging", "answering"), book.seconds(), strict=True):
        wall = seconds / settings.engine.actors
        costs.add(phase, wall)
        costs.add(ENGINES, -min(wall, costs.seconds[ENGINES]))


def report(tracker: SearchTracker, story: Story, run: RunFolder) -> None:
    """The report and its figures, in the run folder and on the dashboard."""
    page, *figures = write_report(story, run.folder)
    tracker.log_metrics({f"seconds_{phase.replace(' ', '_')}": value for phase, value in story.seconds.items()})
    tracker.log_files([page, run.plan_file, run.selection_file, run.settings_file])
    tracker.log_files(figures, "figures")


def export(settings: SearchSettings, pair: PlannedPair, recipe: Recipe, selection: Selection, run: RunFolder) -> Path:
    """The winner as a checkpoint, unless it stands there from an earlier run of the same search."""
    if selection.alpha is None:
        raise UserError(f"searching.alphas: {selection.verdict}; try smaller or other alphas")
    winner = recipe.at(selection.alpha)
    if was_merged_as(run.merged_folder, pair.plan, winner):
        return run.merged_folder
    with bytes_bar("exporting", pair.plan) as progress:
        return merge_to_disk(
            pair.plan,
            pair.base,
            pair.donor,
            winner,
            run.merged_folder,
            ancestor=pair.ancestor,
            config=settings.merging,
            ray=settings.ray,
            force=True,
            progress=progress,
        )


if __name__ == "__main__":
    main()
