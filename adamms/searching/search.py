"""One search, from checked settings to checkpoints: what a command does once and a sweep many times."""

import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from adamms.engines.lengths import fitting_prompts
from adamms.engines.noise import Noise
from adamms.merging.companions import was_merged_as
from adamms.merging.staging import check_output
from adamms.merging.to_disk import check_apart, merge_to_disk
from adamms.prompts.labels import Labelled, load_labelled
from adamms.prompts.prompt import Prompt
from adamms.prompts.tasks import Tasks, all_prompts, load_tasks
from adamms.runs.answers import Answers
from adamms.runs.costs import Costs
from adamms.runs.ownership import REFINE, must_give_way
from adamms.runs.run_folder import RunFolder
from adamms.searching.answering import Answering, answer_as_donor
from adamms.searching.budget import UNLIMITED, Budget
from adamms.searching.candidates import CandidateBook
from adamms.searching.coefficient import SearchedCoefficient
from adamms.searching.config import StudySettings
from adamms.searching.events import Began, Doing, Events, Exported, Listener, Selected
from adamms.searching.goal import ChoiceRule, Goal, answers_without_saving, goals_of, in_turn
from adamms.searching.outcome import Outcome, Saved, reach
from adamms.searching.parents import Scoring
from adamms.searching.scores import candidate_scores
from adamms.searching.study import ITSELF, Study
from adamms.searching.warm_engines import WarmEngines
from adamms.selecting.criteria import get_criterion
from adamms.selecting.divergence import endpoints_of
from adamms.selecting.labels import Marks
from adamms.support.progress import doing

ENGINES = "starting engines"
LABELLED = "labelled"
"""Folder of the answers to labelled prompts."""


@dataclass(frozen=True)
class Search:
    """A search that was checked: everything the user can mend has been found, no engine was started.

    Attributes:
        values: of the coefficient, to begin with.
        donor: the donor as a study of its own, and its answers, where the criterion asks it.
        labelled: a few labelled prompts, and where the candidates' answers to them are stored.
        scoring: what lets base and donor score the candidates' answers, where the criterion asks for that.
        same: what makes it this search and no other (`same_search`).
    """

    study: Study
    values: list[float]
    rule: ChoiceRule
    tasks: Tasks
    answers: Answers
    donor: tuple[Study, Answers] | None
    scoring: Scoring | None
    labelled: tuple[Labelled, Answers] | None
    costs: Costs
    same: dict[str, Any]

    @property
    def key(self) -> str:
        """Identifies it among all that ever went to one dashboard; further rounds of it have the same."""
        same = {name: value for name, value in self.same.items() if name != REFINE}
        text = json.dumps([str(self.run.folder.resolve()), len(self.run.earlier()), same], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def prompts(self) -> list[Prompt]:
        """Of all tasks."""
        return all_prompts(self.tasks)

    @property
    def run(self) -> RunFolder:
        """Where its results go."""
        return self.study.run


@dataclass(frozen=True)
class Found:
    """What a search came to: the choice, and the checkpoints that were written."""

    outcome: Outcome
    checkpoints: list[Path]
    run: RunFolder


def prepare(settings: StudySettings, force: bool = False) -> Search:
    """Reads prompts and headers, and checks all settings.

    Args:
        force: sets aside what another search left in `run_dir`.

    Raises:
        UserError: the first thing to mend.
    """
    values = SearchedCoefficient.of(settings.merging, settings.searching).check(settings.searching.alphas)
    rule = ChoiceRule.of(settings.searching, values, in_blocks=Budget(settings.budget).limited)
    with doing("reading the prompts"):
        tasks = load_tasks(settings.prompts)
    started = time.perf_counter()
    with doing("opening the models and planning the merge"):
        study = Study.of(settings)
    mapping = time.perf_counter() - started
    on_error, donor = settings.prompts.on_error, None
    with doing("measuring the prompts with the base's processor"):
        tasks = {name: fitting_prompts(prompts, study.engine, on_error) for name, prompts in tasks.items()}
    if rule.criterion.asks_donor:
        donor = study.of_donor(), study.of_donor().answers("donor", force)
        who = f"donor {settings.donor}: "
        tasks = {name: fitting_prompts(prompts, donor[0].engine, on_error, who) for name, prompts in tasks.items()}
    scoring, tasks = Scoring.of(study, tasks, force) if rule.criterion.asks_scores else (None, tasks)
    labelled = with_answers(study, force) if settings.searching.labels else None
    check_places(study, list(tasks))
    answers, run = study.answers(force=force), study.run
    same = same_search(study, values, tasks, labelled[0] if labelled else None)
    others = must_give_way(run, same, force)
    moved = donor is not None and donor[1].check_owner([ITSELF], all_prompts(tasks))
    if answers.check_owner(values, all_prompts(tasks)) or moved or others:
        run.set_aside()
    costs = Costs(run.costs)
    costs.add("mapping", mapping)
    return Search(study, values, rule, tasks, answers, donor, scoring, labelled, costs, same)


def with_answers(study: Study, force: bool) -> tuple[Labelled, Answers]:
    """The labelled prompts of `searching.labels`, those that fit, and the store of the answers to them.

    Raises:
        UserError: the file cannot be used, or answers of another search to these prompts are stored.
    """
    settings = study.settings
    found, answers = load_labelled(settings.searching.labels, settings.prompts), study.answers(LABELLED, force)
    fitting = fitting_prompts(found.prompts, study.engine, settings.prompts.on_error, "searching.labels: ")
    answers.check_owner([], fitting)
    return replace(found, prompts=fitting), answers


def same_search(
    study: Study, values: Sequence[float], tasks: Tasks, labelled: Labelled | None = None
) -> dict[str, Any]:
    """What makes a search this one: all that answers depend on but the engine, which they know themselves, and all
    that the choice does. Not: what it may cost, how work is shared out, who is told, where models and prompts lie."""
    searching, prompts = study.settings.searching, study.settings.prompts
    names = ["metric", "stop", "export", "extend"] + (["block", "confidence"] if searching.stop != "never" else [])
    found = {
        "command": "search",
        **study.asked(),
        **{f"prompts of {name}" if name else "prompts": _digest_of(asked) for name, asked in tasks.items()},
        "prompts.seed": prompts.seed,
        "searching.coefficient": study.coefficient.name,
        "searching.alphas": list(values),
        REFINE: list(searching.refine),
        "searching.endpoints": endpoints_of(
            get_criterion(searching.metric), searching.endpoints, labels=labelled is not None
        ),
        **({"searching.labels": _digest_of(labelled.prompts, labelled.labels)} if labelled else {}),
        **{f"searching.{name}": getattr(searching, name) for name in names},
    }
    as_stored: dict[str, Any] = json.loads(json.dumps(found))
    return as_stored


def _digest_of(prompts: Sequence[Prompt], labels: Mapping[str, str] | None = None) -> str:
    rows = (f"{prompt.id!r} {prompt.digest} {labels[prompt.id] if labels else ''}" for prompt in prompts)
    text = "".join(sorted(f"{row.rstrip()}\n" for row in rows))
    return f"{len(prompts)} ({hashlib.sha256(text.encode()).hexdigest()[:12]})"


def check_places(study: Study, tasks: Sequence[str]) -> None:
    """Raises UserError where the winners could not be written, or would replace what AdaMMS did not write."""
    each = study.settings.searching.export == "each" and len(tasks) > 1
    for folder in [study.run.merged / task for task in tasks] if each else [study.run.merged]:
        check_output(folder, force=True)
        check_apart(folder, [model for model in study.pair[1:] if model is not None])


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
