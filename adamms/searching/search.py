"""One search, from its checked settings to checkpoints: what a command does once and a sweep many times."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from adamms.merging.companions import was_merged_as
from adamms.merging.to_disk import merge_to_disk
from adamms.runs.costs import Costs
from adamms.runs.run_folder import RunFolder
from adamms.searching.budget import UNLIMITED, Budget
from adamms.searching.candidates import CandidateBook
from adamms.searching.events import Began, Doing, Events, Exported, Listener
from adamms.searching.line import ENGINES, Line, reach
from adamms.searching.outcome import Outcome
from adamms.searching.preparing import Search
from adamms.searching.warm_engines import WarmEngines


@dataclass(frozen=True)
class Found:
    """What a search came to: the choice, and the checkpoints that were written."""

    outcome: Outcome
    checkpoints: list[Path]
    run: RunFolder


@dataclass(frozen=True)
class FoundLine:
    """What a search that went along several lines came to.

    Attributes:
        whole: the line that the winner was chosen on, as the whole shows it.
        checkpoint: the one that was written.
    """

    whole: Search
    outcome: Outcome
    checkpoint: Path


Watch = Callable[[Search, str], Sequence[Listener]]
"""Describes a line in its folder; gives who is told of it, by the title it has. The title of the whole is empty."""


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
    run, costs, events = search.run, search.costs, Events(listeners, search.run, title)
    run.write(run.plan, search.study.pair.plan.to_dict())
    events.say(Began)
    with costs.kept(lambda: engines.gpu_hours):
        with answering(costs, search.study.settings.engine.actors) as books:
            scores = search.scoring.by(engines, search.prompts, events, budget) if search.scoring is not None else None
            line = Line(search, engines, budget, events, scores)
            books += [lambda: line.books, lambda: scores.books if scores else []]
            if scores is not None:
                scores.before_donor = line.measure_noise
            reach([line], scores)
            outcome = line.settle()
        with costs.phase("exporting"):
            checkpoints = export(search, engines, outcome, events)
    events.say(Exported, checkpoints=checkpoints)
    return Found(outcome, list(checkpoints.values()), run)


@contextmanager
def answering(costs: Costs, actors: int) -> Iterator[list[Callable[[], Iterable[CandidateBook]]]]:
    """Counts the time of the block, also where it fails.

    Gives:
        A list to put in who has the books of what is asked: what they measured is told apart from the rest.
    """
    books: list[Callable[[], Iterable[CandidateBook]]] = []
    try:
        with costs.phase(ENGINES):
            yield books
    finally:
        split(costs, [book for of in books for book in of()], actors)


def split(costs: Costs, books: Sequence[CandidateBook], actors: int) -> None:
    """Takes what actors measured out of the time spent on answering; the rest is starting engines and waiting."""
    for book in books:
        costs.reached(book.memory().to_gb())
        for phase, seconds in zip(("re-merging", "answering"), book.seconds(), strict=True):
            wall = seconds / actors
            costs.add(phase, wall)
            if ENGINES in costs.seconds:
                costs.add(ENGINES, -min(wall, costs.seconds[ENGINES]))


def export(search: Search, engines: WarmEngines, outcome: Outcome, events: Events) -> dict[str, Path]:
    """Writes each winner as a checkpoint, unless it stands there from an earlier run of the same search.

    Returns:
        Task -> folder: the one for all prompts, which has no name, or with `searching.export=each` each task's; none of
        a search that chose nothing.
    """
    merged = search.run.merged
    chosen = {name: found.chosen for name, found in outcome.selections.items() if found.chosen is not None}
    each = search.study.settings.searching.export == "each" and bool(outcome.tasks)
    folders = {name: merged / name if name else merged for name in chosen}
    wanted = {name: folder for name, folder in folders.items() if bool(name) == each}
    for name, folder in wanted.items():
        export_winner(search, chosen[name], folder, engines, events)
    return wanted


def export_winner(search: Search, value: float, folder: Path, engines: WarmEngines, events: Events) -> None:
    """Writes one candidate as a checkpoint, unless it stands there."""
    settings, study = search.study.settings, search.study
    winner = study.coefficient.candidate(value).recipe
    if not was_merged_as(folder, study.pair.plan, winner):
        engines.make_room(settings)
        events.say(Doing, what=f"exporting {folder}")
        how, ray = settings.merging, settings.ray
        merge_to_disk(study.pair, winner, folder, config=how, ray=ray, force=True, title="exporting")
