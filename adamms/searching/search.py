"""One search, from settings to checkpoint and report: what `pipelines/search.py` does once and a sweep many times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from adamms.checkpoint.checkpoint import read_json
from adamms.commands.settings import SearchSettings
from adamms.engines.engine import EngineSpec
from adamms.engines.lengths import fitting_prompts
from adamms.engines.noise import Noise
from adamms.errors import UserError
from adamms.mapping import PlannedPair, plan_pair
from adamms.merging.companions import was_merged_as
from adamms.merging.pair import merge_pair
from adamms.merging.recipe import Recipe
from adamms.merging.to_disk import check_ancestor
from adamms.prompts.prompt import Prompt
from adamms.prompts.tasks import Tasks, all_prompts, load_tasks
from adamms.runs.run_folder import RunFolder, answer_identity
from adamms.searching.answering import Answering, Engines
from adamms.searching.budget import UNLIMITED, Budget
from adamms.searching.candidate_scores import candidate_scores
from adamms.searching.candidates import CandidateBook
from adamms.searching.coefficient import Line, check_alphas
from adamms.searching.config import Export
from adamms.searching.donor import ITSELF, Donor
from adamms.searching.goal import Goal, Rule, answers_without_saving, goals_of
from adamms.searching.group_alphas import (
    alphas_of_groups,
    check_groups,
    find_group_alphas,
    group_alphas,
    track_groups,
)
from adamms.searching.outcome import Effort, Outcome, outcome_of, reach
from adamms.selecting.selection import Selection
from adamms.tracking import Costs, SearchTracker, Story, search_parameters, settings_text, write_report
from adamms.tracking.journal import Parent

ENGINES = "starting engines"
DONOR = "donor"  # the folder of its own answers


@dataclass(frozen=True)
class Search:
    """A search that was checked: everything the user can mend has been found, no engine was started."""

    settings: SearchSettings
    line: Line
    alphas: list[float]
    rule: Rule
    tasks: Tasks
    pair: PlannedPair
    groups: list[str]
    spec: EngineSpec
    run: RunFolder
    costs: Costs
    donor: Donor | None
    """Where the metric asks it."""

    @property
    def prompts(self) -> list[Prompt]:
        """Of all tasks."""
        return all_prompts(self.tasks)


@dataclass(frozen=True)
class Found:
    """What a search came to: the choice, and the checkpoints that were written."""

    outcome: Outcome
    checkpoints: list[Path]


def prepare(settings: SearchSettings, force: bool = False) -> Search:
    """Reads prompts and headers, and checks all settings.

    Args:
        force: sets another search's answers in `run_dir` aside.

    Raises:
        UserError: the first thing to mend.
    """
    line = Line.searched(Recipe.of(settings.merging, settings.searching.alpha), settings.searching.coefficient)
    alphas = check_alphas(settings.searching.alphas, line)
    rule = Rule.of(settings.searching, alphas, in_blocks=Budget(settings.budget).limited)
    check_ancestor(line.recipe, settings.ancestor)
    tasks = load_tasks(settings.prompts)
    costs = Costs(Path(settings.run_dir, "costs.json"))
    with costs.phase("mapping"):
        pair = plan_pair(settings if line.recipe.rule.needs_ancestor else replace(settings, ancestor=None))
    groups = check_groups(settings, pair)
    spec = EngineSpec(pair.plan, settings.engine, settings.mapping.base_architecture)
    tasks = {name: fitting_prompts(prompts, spec, settings.prompts.on_error) for name, prompts in tasks.items()}
    donor = Donor(settings, pair, DONOR) if rule.metric.asks_donor else None
    if donor:
        on_error, who = settings.prompts.on_error, f"donor {settings.donor}: "
        tasks = {name: fitting_prompts(prompts, donor.spec, on_error, who) for name, prompts in tasks.items()}
        donor.run.check_owner([ITSELF], all_prompts(tasks), force)
    run = RunFolder(Path(settings.run_dir), answer_identity(pair.plan, line, settings.engine))
    run.check_owner(alphas, all_prompts(tasks), force)
    return Search(settings, line, alphas, rule, tasks, pair, groups, spec, run, costs, donor)


def run_search(
    search: Search, engines: Engines, budget: Budget = UNLIMITED, parent: Parent | None = None, title: str = ""
) -> Found:
    """Answers what is not stored, chooses, exports, reports; run again, it goes on where it stopped.

    Args:
        engines: shared with other searches, one after the other.
        parent: the sweep that it belongs to, on the dashboard.
        title: its name in progress bars and logs, where there are several.

    Raises:
        UserError: nothing could be chosen, or a candidate met something that the user can mend.
    """
    settings, run, costs, prompts = search.settings, search.run, search.costs, search.prompts
    params = search_parameters(settings, search.pair.plan)
    with SearchTracker(settings.tracking, run.search_key, params, run.folder, parent) as tracker:
        run.write_json(run.plan_file, search.pair.plan.to_dict())
        run.write_text(run.settings_file, settings_text(settings))
        tracker.log_prompts(settings.prompts, search.tasks)
        search, books = with_donor(search, engines, budget)
        goals = goals_of(search.tasks, search.alphas, search.rule, settings.prompts.seed)
        engines.serve(search.spec)
        with costs.phase(ENGINES):
            answering = Answering(engines, search.line, prompts, run, tracker, budget, title)
            reach(goals, answering)
            noise = measure_noise(search, answering, goals[""])
            line, steps = find_group_alphas(search, engines, goals[""].selection, budget)
        book = answering.book
        split(costs, [*books, book, *(step.book for step in steps)], settings)
        effort = Effort(book.answers, answers_without_saving(search.alphas, search.rule.config.refine, len(prompts)))
        outcome = outcome_of(goals, effort, noise)
        run.write_json(run.selection_file, outcome.to_json() | group_alphas(line, steps))
        tracker.log_scores(candidate_scores(goals, book))
        tracker.log_selection(outcome.selection)
        track_groups(tracker, line, steps)
        with costs.phase("exporting"):
            winners = wanted(settings, outcome, run)
            checkpoints = [export(search, engines, line, selection, folder) for folder, selection in winners.items()]
        costs.save()
        for folder, selection in winners.items():
            task = "" if folder == run.merged_folder else folder.name
            tracker.log_winner(selection, folder, task, alphas_of_groups(line))
        report(tracker, Story.of(run, search.pair.plan, prompts), run)
    if outcome.selection.alpha is None:
        raise UserError(f"searching.alphas: {outcome.selection.verdict}; try smaller or other alphas")
    return Found(outcome, checkpoints)


def with_donor(search: Search, engines: Engines, budget: Budget) -> tuple[Search, list[CandidateBook]]:
    """The donor's own answers come first, where the metric asks for them: by an engine of its own architecture."""
    if search.donor is None:
        return search, []
    with search.costs.phase(ENGINES):
        book = search.donor.answers(engines, search.prompts, budget)
    return replace(search, rule=replace(search.rule, parents=(book.answers_at(ITSELF),))), [book]


def measure_noise(search: Search, answering: Answering, goal: Goal) -> Noise | None:
    """How many answers of the chosen candidate differ by chance; of a search that goes on, what it found before."""
    run, settings = search.run, search.settings
    if goal.selection.alpha is None:
        return None
    noise = None
    if answering.budget.over is None:
        noise = answering.noise(goal.selection.alpha, search.prompts[: settings.searching.noise])
    if noise is not None:
        run.write_json(run.noise_file, asdict(noise))
    return noise or (Noise(**read_json(run.noise_file)) if run.noise_file.is_file() else None)


def split(costs: Costs, books: Sequence[CandidateBook], settings: SearchSettings) -> None:
    """Takes what actors measured out of the time spent on answering; the rest is starting engines and waiting."""
    for book in books:
        costs.reached(book.memory().to_gb())
        for phase, seconds in zip(("re-merging", "answering"), book.seconds(), strict=True):
            wall = seconds / settings.engine.actors
            costs.add(phase, wall)
            costs.add(ENGINES, -min(wall, costs.seconds[ENGINES]))


def wanted(settings: SearchSettings, outcome: Outcome, run: RunFolder) -> dict[Path, Selection]:
    """The checkpoints to write: the one for all prompts, or each task's; none of a search that chose nothing."""
    chosen = {name: selection for name, selection in outcome.selections.items() if selection.alpha is not None}
    if settings.searching.export == Export.one or not outcome.tasks:
        return {run.merged_folder: chosen[""]} if "" in chosen else {}
    return {run.merged_folder / name: selection for name, selection in chosen.items() if name}


def export(search: Search, engines: Engines, line: Line, selection: Selection, folder: Path) -> Path:
    """The winner as a checkpoint, unless it stands there from an earlier run of the same search."""
    assert selection.alpha is not None
    winner = line.at(selection.alpha)
    if was_merged_as(folder, search.pair.plan, winner):
        return folder
    engines.make_room(search.settings)
    return merge_pair(search.settings, search.pair, winner, folder, force=True, title="exporting")


def report(tracker: SearchTracker, story: Story, run: RunFolder) -> None:
    """The report and its figures, in the run folder and on the dashboard."""
    page, *figures = write_report(story, run.folder)
    tracker.log_metrics({f"seconds_{phase.replace(' ', '_')}": value for phase, value in story.seconds.items()})
    tracker.log_metrics({**story.further, **story.peaks})
    if story.noise_floor is not None:
        tracker.log_metrics({"noise_floor": story.noise_floor})
    tracker.log_files([page, run.plan_file, run.selection_file, run.settings_file])
    tracker.log_files(figures, "figures")
