"""Search alpha for one pair of models and unlabelled prompts of one task or several, and export the winner.

    python pipelines/search.py --config conf/demo.yaml [key=value ...]
    ray job submit --working-dir . -- python pipelines/search.py --config conf/demo.yaml [key=value ...]

The same command run again goes on where it stopped: no finished (alpha, prompt) is answered twice.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from adamms.checkpoint.checkpoint import read_json
from adamms.cli import pipeline
from adamms.config import Export, SearchSettings
from adamms.errors import UserError
from adamms.generation.engine import EngineSpec
from adamms.generation.lengths import fitting_prompts
from adamms.generation.noise import Noise
from adamms.generation.prompts import Prompt
from adamms.mapping import PlannedPair, plan_pair
from adamms.merging.companions import was_merged_as
from adamms.merging.groups import named_groups
from adamms.merging.recipe import Recipe
from adamms.merging.to_disk import check_ancestor, merge_to_disk
from adamms.progress import bytes_bar
from adamms.ray_session import warn_if_temporary
from adamms.searching.alphas import Line, check_alphas
from adamms.searching.answering import Answering, Engines
from adamms.searching.candidate_scores import candidate_scores
from adamms.searching.candidates import CandidateBook
from adamms.searching.goal import Goal, Rule, answers_without_saving, goals_of
from adamms.searching.outcome import Effort, Outcome, outcome_of, reach
from adamms.searching.run_folder import RunFolder, answer_identity
from adamms.searching.selection import Selection
from adamms.searching.table import print_outcome
from adamms.searching.tasks import all_prompts, load_tasks
from adamms.tracking import Costs, SearchTracker, Story, search_parameters, settings_text, write_report

ENGINES = "starting engines"


@pipeline
def main(settings: SearchSettings, force: bool) -> None:
    # everything the user can mend is found before anything is written
    line = Line.searched(Recipe.of(settings.merging, settings.searching.alpha), settings.searching.coefficient)
    alphas = check_alphas(settings.searching.alphas, line)
    rule = Rule.of(settings.searching, alphas)
    check_ancestor(line.recipe, settings.ancestor)
    tasks = load_tasks(settings.prompts)
    costs = Costs(Path(settings.run_dir, "costs.json"))
    with costs.phase("mapping"):
        pair = plan_pair(settings if line.recipe.rule.needs_ancestor else replace(settings, ancestor=None))
    groups = check_groups(settings, pair)
    spec = EngineSpec(pair.plan, settings.engine, settings.mapping.base_architecture)
    tasks = {name: fitting_prompts(prompts, spec, settings.prompts.on_error) for name, prompts in tasks.items()}
    prompts = all_prompts(tasks)
    run = RunFolder(Path(settings.run_dir), answer_identity(pair.plan, line, settings.engine))
    run.check_owner(alphas, prompts, force)
    warn_if_temporary(run.folder)

    goals = goals_of(tasks, alphas, rule, settings.prompts.seed)
    params = search_parameters(settings, pair.plan)
    with SearchTracker(settings.tracking, run.search_key, params, run.folder) as tracker:
        run.write_json(run.plan_file, pair.plan.to_dict())
        run.write_text(run.settings_file, settings_text(settings))
        tracker.log_prompts(settings.prompts, prompts)
        with costs.phase(ENGINES), Engines(spec, settings.engine, settings.ray) as engines:
            answering = Answering(engines, line, prompts, run, tracker)
            reach(goals, answering)
            noise = measure_noise(settings, run, answering, goals[""], prompts)
            line = find_group_alphas(settings, engines, line, goals[""].selection, prompts, pair, groups)
        book = answering.book
        split(costs, book, settings)
        effort = Effort(book.answers, answers_without_saving(alphas, rule.config.refine, len(prompts)))
        outcome = outcome_of(goals, effort, noise)
        run.write_json(run.selection_file, outcome.to_json() | group_alphas(line))
        tracker.log_scores(candidate_scores(goals, book))
        tracker.log_selection(outcome.selection)
        with costs.phase("exporting"):
            winners = wanted(settings, outcome, run)
            checkpoints = [export(settings, pair, line, selection, folder) for folder, selection in winners.items()]
        costs.save()
        for folder, selection in winners.items():
            tracker.log_winner(selection, folder, "" if folder == run.merged_folder else folder.name)
        report(tracker, Story.of(run, pair.plan, prompts), run)
    print_outcome(outcome, checkpoints, settings.tracking)
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
    tracker.log_metrics(story.further)
    if story.noise_floor is not None:
        tracker.log_metrics({"noise_floor": story.noise_floor})
    tracker.log_files([page, run.plan_file, run.selection_file, run.settings_file])
    tracker.log_files(figures, "figures")


def measure_noise(
    settings: SearchSettings, run: RunFolder, answering: Answering, goal: Goal, prompts: list[Prompt]
) -> Noise | None:
    """How many answers of the chosen candidate differ by chance; of a search that goes on, what it found before."""
    if goal.selection.alpha is None:
        return None
    noise = answering.noise(goal.selection.alpha, prompts[: settings.searching.noise])
    if noise is not None:
        run.write_json(run.noise_file, asdict(noise))
    return noise or (Noise(**read_json(run.noise_file)) if run.noise_file.is_file() else None)


def check_groups(settings: SearchSettings, pair: PlannedPair) -> list[str]:
    """The groups of weights that get an alpha of their own."""
    config = settings.searching
    if config.groups and (config.coefficient != "alpha" or len(settings.prompts.tasks) > 1):
        raise UserError("searching.groups: needs searching.coefficient=alpha and one task")
    return named_groups(config.groups, pair.plan.merged)


def group_alphas(line: Line) -> dict[str, dict[str, float]]:
    """What `selection.json` says of them."""
    return {"groups": {name: rule.alpha for name, rule in line.recipe.groups}} if line.recipe.groups else {}


def find_group_alphas(
    settings: SearchSettings,
    engines: Engines,
    line: Line,
    selection: Selection,
    prompts: list[Prompt],
    pair: PlannedPair,
    groups: list[str],
) -> Line:
    """From the one alpha for all, an alpha for each group of weights: one after the other, in passes over all groups.

    Every step is a search of its own, over the same candidates for one group while the others stay as they are.
    """
    if selection.alpha is None:
        return line
    alphas = check_alphas(settings.searching.alphas, line)
    for step, group in enumerate(groups * settings.searching.passes):
        steps = Line.searched(line.at(selection.alpha) if step == 0 else line.recipe, group)
        folder = Path(settings.run_dir, "groups", f"{step + 1}-{group.replace(':', '-')}")
        run = RunFolder(folder, answer_identity(pair.plan, steps, settings.engine))
        goals = goals_of({"": prompts}, alphas, Rule.of(settings.searching, alphas), settings.prompts.seed)
        reach(goals, Answering(engines, steps, prompts, run))
        found = goals[""].selection
        run.write_json(run.selection_file, found.to_json())
        line = Line(steps.at(selection.alpha if found.alpha is None else found.alpha), line.coefficient)
    return line


def wanted(settings: SearchSettings, outcome: Outcome, run: RunFolder) -> dict[Path, Selection]:
    """The checkpoints to write: the one for all prompts, or each task's."""
    if settings.searching.export == Export.one or not outcome.tasks:
        return {run.merged_folder: outcome.selection}
    return {run.merged_folder / name: selection for name, selection in outcome.selections.items() if name}


def export(settings: SearchSettings, pair: PlannedPair, line: Line, selection: Selection, folder: Path) -> Path:
    """The winner as a checkpoint, unless it stands there from an earlier run of the same search."""
    if selection.alpha is None:
        raise UserError(f"searching.alphas: {selection.verdict}; try smaller or other alphas")
    winner = line.at(selection.alpha)
    if was_merged_as(folder, pair.plan, winner):
        return folder
    with bytes_bar("exporting", pair.plan) as progress:
        return merge_to_disk(
            pair.plan,
            pair.base,
            pair.donor,
            winner,
            folder,
            ancestor=pair.ancestor,
            config=settings.merging,
            ray=settings.ray,
            force=True,
            progress=progress,
        )


if __name__ == "__main__":
    main()
