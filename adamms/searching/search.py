"""One search, from its checked settings to checkpoints: what a command does once and a sweep many times."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from adamms.engines.noise import Noise
from adamms.merging.companions import was_merged_as
from adamms.merging.to_disk import merge_to_disk
from adamms.prompts.labels import Labelled
from adamms.runs.costs import Costs
from adamms.runs.run_folder import RunFolder
from adamms.searching.answering import Answering, answer_as_donor
from adamms.searching.budget import UNLIMITED, Budget
from adamms.searching.candidates import CandidateBook
from adamms.searching.events import Began, Doing, Events, Exported, Listener, Selected
from adamms.searching.goal import Goal, answers_without_saving, goals_of, in_turn
from adamms.searching.outcome import Outcome, Saved, reach
from adamms.searching.preparing import Search
from adamms.searching.scores import candidate_scores
from adamms.searching.study import ITSELF
from adamms.searching.warm_engines import WarmEngines
from adamms.selecting.labels import Marks

ENGINES = "starting engines"


@dataclass(frozen=True)
class Found:
    """What a search came to: the choice, and the checkpoints that were written."""

    outcome: Outcome
    checkpoints: list[Path]
    run: RunFolder


def run_search(
    search: Search,
    engines: WarmEngines,
    budget: Budget = UNLIMITED,
    listeners: Iterable[Listener] = (),
    title: str = "",
) -> Found:
    """Answers what is not stored, chooses, and exports; run again, it goes on where it stopped.

    Args:
        engines: shared with other searches, one after the other.
        title: what listeners call it, where there are several.

    Raises:
        UserError: a candidate met something that the user can mend.
    """
    study, run, costs, events = search.study, search.run, search.costs, Events(listeners, search.run, title)
    run.write(run.plan, study.pair.plan.to_dict())
    events.say(Began)
    search, books = with_donor(search, engines, budget, events)
    began = time.perf_counter()
    answering = Answering(study, engines, search.prompts, search.answers, events, budget, run)
    rule, scores = search.rule, None
    if search.scoring is not None:
        middle = search.values[len(search.values) // 2]
        scores = search.scoring.by(engines, search.prompts, events, lambda: measure_noise(search, answering, middle))
        rule = replace(rule, score=scores)
    if search.labelled is not None:
        labelled, stored = search.labelled
        asking = Answering(study, engines, labelled.prompts, stored, events)
        rule, books = replace(rule, marks=partial(marks_of, labelled, asking)), [*books, asking.book]
    goals = goals_of(search.tasks, search.values, rule, study.settings.prompts.seed)
    with costs.phase(ENGINES):
        reach(goals, answering)
        noise = measure_noise(search, answering, goals[""].selection.chosen) if scores is None else read_noise(run)
    before = (run.read(run.selection) or {}).get("alpha")
    outcome = settle(search, goals, answering.book, noise)
    chosen = outcome.selection.chosen
    if before not in (None, chosen):
        events.say(Doing, what=f"{chosen} is chosen; before it went on, this search had chosen {before}")
    split(costs, [*books, answering.book, *(scores.books if scores else [])], study.settings.engine.actors)
    events.say(Selected, selection=outcome.selection)
    with costs.phase("exporting"):
        checkpoints = export(search, engines, outcome, events)
    costs.count("gpu_hours", engines.gpus * (time.perf_counter() - began) / 3600)
    costs.save()
    events.say(Exported, checkpoints=checkpoints)
    return Found(outcome, list(checkpoints.values()), run)


def with_donor(
    search: Search, engines: WarmEngines, budget: Budget, events: Events
) -> tuple[Search, list[CandidateBook]]:
    """The donor's own answers come first, where the criterion asks for them."""
    if search.donor is None:
        return search, []
    with search.costs.phase(ENGINES):
        book = answer_as_donor(*search.donor, engines, search.prompts, events, budget)
    return replace(search, rule=replace(search.rule, parents=(book.answers_at(ITSELF),))), [book]


def marks_of(labelled: Labelled, asking: Answering, values: Sequence[float]) -> Marks:
    """Which labelled prompts these candidates answer right; those that are not answered yet are asked. A candidate that
    fails at them has none right."""
    asking.answer(dict.fromkeys(values, labelled.prompts))
    answers = asking.book.responses(values, labelled.prompts)
    return {v: labelled.right(answers[v]) if v in answers else [False] * len(labelled.prompts) for v in values}


def measure_noise(search: Search, answering: Answering, value: float | None) -> Noise | None:
    """How many answers of a candidate differ by chance; of a search that goes on, what it found before.

    The prompts are asked in the goal's order, which takes them from every task in turn.
    """
    run, settings = search.run, search.study.settings
    if value is None:
        return None
    noise = None
    if answering.budget.over is None:
        noise = answering.noise(value, in_turn(search.tasks, settings.prompts.seed)[: settings.searching.noise])
    if noise is not None:
        run.write(run.noise, asdict(noise))
    return read_noise(run)


def read_noise(run: RunFolder) -> Noise | None:
    """What was found before; None where it was not measured."""
    stored = run.read(run.noise)
    with run.understood():
        return Noise(**stored) if stored else None


def settle(search: Search, goals: dict[str, Goal], book: CandidateBook, noise: Noise | None) -> Outcome:
    """The outcome, and in the run folder the choice and every candidate's scores."""
    run, refine = search.run, search.rule.config.refine
    full = answers_without_saving(search.values, refine, len(search.prompts))
    tasks = {name: tuple(goal.rounds) for name, goal in goals.items() if name}
    outcome = Outcome(tuple(goals[""].rounds), tasks, Saved(book.asked, full), noise)
    run.write(run.selection, outcome.to_json())
    run.write(run.scores, candidate_scores(goals, book))
    return outcome


def split(costs: Costs, books: Sequence[CandidateBook], actors: int) -> None:
    """Takes what actors measured out of the time spent on answering; the rest is starting engines and waiting."""
    for book in books:
        costs.reached(book.memory().to_gb())
        for phase, seconds in zip(("re-merging", "answering"), book.seconds(), strict=True):
            wall = seconds / actors
            costs.add(phase, wall)
            costs.add(ENGINES, -min(wall, costs.seconds[ENGINES]))


def export(search: Search, engines: WarmEngines, outcome: Outcome, events: Events) -> dict[str, Path]:
    """Writes each winner as a checkpoint, unless it stands there from an earlier run of the same search.

    Returns:
        Task -> folder: the one for all prompts, which has no name, or with `searching.export=each` each task's; none of
        a search that chose nothing.
    """
    settings, study, merged = search.study.settings, search.study, search.run.merged
    chosen = {name: found.chosen for name, found in outcome.selections.items() if found.chosen is not None}
    each = settings.searching.export == "each" and bool(outcome.tasks)
    folders = {name: merged / name if name else merged for name in chosen}
    wanted = {name: folder for name, folder in folders.items() if bool(name) == each}
    for name, folder in wanted.items():
        winner = study.coefficient.candidate(chosen[name]).recipe
        if not was_merged_as(folder, study.pair.plan, winner):
            engines.make_room(settings)
            events.say(Doing, what=f"exporting {folder}")
            how, ray = settings.merging, settings.ray
            merge_to_disk(study.pair, winner, folder, config=how, ray=ray, force=True, title="exporting")
    return wanted
