"""`adamms search`: find the coefficient for one pair without labels, and export the winner."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from adamms.commands.settings import SearchSettings
from adamms.errors import UserError
from adamms.reporting.report import Story, write_report
from adamms.runs.lock import locked
from adamms.runs.run_folder import FAILED, FINISHED, KILLED, RUNNING, RunFolder
from adamms.searching.budget import Budget
from adamms.searching.description import search_name, search_parameters, settings_text
from adamms.searching.events import Ended, Events, Listener, Reported
from adamms.searching.listeners import ProgressBars, count_in_ray, log_lines
from adamms.searching.methods import MethodsSearch, prepare_methods, run_methods
from adamms.searching.metric import with_metric
from adamms.searching.preparing import Search, prepare
from adamms.searching.search import Found, FoundLine, Watch, run_search
from adamms.searching.warm_engines import WarmEngines
from adamms.searching.weights import run_weights
from adamms.searching.weights_search import WeightsSearch, prepare_weights
from adamms.searching.weights_settings import searches_weights
from adamms.support.ray_session import warn_if_temporary
from adamms.tracking import Tracking
from adamms.tracking.config import TrackingConfig

Lines = TypeVar("Lines", MethodsSearch, WeightsSearch)


def search(settings: SearchSettings, force: bool = False, listeners: Iterable[Listener] = ()) -> Found:
    """Maps, merges inside warm engines, searches, exports, reports; run again, it goes on where it stopped.

    Args:
        force: sets aside what another search left in `run_dir`.
        listeners: are told what happens, beside progress bars, logs, Ray's metrics and MLflow.

    Raises:
        UserError: something that the user can mend, or nothing could be chosen.
    """
    settings = with_metric(settings)
    if searches_weights(settings):
        return search_lines(settings, force, listeners, prepare_weights, run_weights)
    if settings.searching.methods:
        return search_lines(settings, force, listeners, prepare_methods, run_methods)
    budget = Budget(settings.budget)
    with locked(Path(settings.run_dir)):
        found = prepare(settings, force)  # everything the user can mend is found before anything is written
        warn_if_temporary(found.run.folder)
        with WarmEngines(settings.ray, budget) as engines:
            return carry_out(found, engines, budget, settings.tracking, listeners)


def carry_out(
    search: Search,
    engines: WarmEngines,
    budget: Budget,
    tracking: TrackingConfig,
    listeners: Iterable[Listener] = (),
    title: str = "",
    sweep: RunFolder | None = None,
) -> Found:
    """Runs a search that was checked, and reports it, watched by everybody who listens.

    Args:
        title: what it is called where several run at once.
        sweep: the folder of the sweep that it is part of.
    """
    with watched(search, tracking, listeners, title, sweep) as everybody:
        found = run_search(search, engines, budget, everybody, title)
        report(search, Events(everybody, search.run, title))
    if found.outcome.selection.chosen is None:
        raise UserError(f"searching.alphas: {found.outcome.selection.verdict}; try smaller or other alphas")
    return found


def search_lines(
    settings: SearchSettings,
    force: bool,
    listeners: Iterable[Listener],
    prepare_all: Callable[[SearchSettings, bool, ExitStack], Lines],
    run_all: Callable[[Lines, WarmEngines, Budget, Watch], FoundLine],
) -> Found:
    """A search along several lines, of merge methods or of donors' weights: each has a run folder of its own, and one
    candidate of all wins.

    Raises:
        UserError: as `search`.
    """
    budget = Budget(settings.budget)
    with ExitStack() as held:
        held.enter_context(locked(Path(settings.run_dir)))
        found = prepare_all(settings, force, held)
        warn_if_temporary(found.run.folder)
        tracking = replace(settings.tracking, uri=settings.tracking.address(found.run.folder))  # one for all lines
        lines: dict[str, tuple[Search, list[Listener]]] = {}

        def told(line: Search, title: str) -> Sequence[Listener]:
            parent = found.run if title else None
            lines[title] = line, held.enter_context(watched(line, tracking, listeners, title, parent))
            return lines[title][1]

        engines = held.enter_context(WarmEngines(settings.ray, budget))
        best = run_all(found, engines, budget, told)
        _, everybody = lines.pop("")
        for title, (line, own) in lines.items():
            if line.run.selection.is_file():  # one that the budget ended before it chose has nothing to report
                report(line, Events(own, line.run, title))
        report(best.whole, Events(everybody, found.run))
        return Found(best.outcome, [best.checkpoint], found.run)


@contextmanager
def watched(
    search: Search,
    tracking: TrackingConfig,
    listeners: Iterable[Listener],
    title: str = "",
    parent: RunFolder | None = None,
) -> Iterator[list[Listener]]:
    """Describes a search in its run folder, keeps its status within the block, and gives everybody who listens, the
    dashboard included."""
    describe(search, parent)
    with Tracking(tracking, search.run) as tracked:
        everybody: list[Listener] = [log_lines, count_in_ray, ProgressBars(), *listeners, tracked]
        with status_of(search.run, Events(everybody, search.run, title)):
            yield everybody


def describe(search: Search, parent: RunFolder | None = None) -> None:
    """Leaves in the run folder what the search is, what it asks, and its settings."""
    run, settings = search.run, search.study.settings
    asked = settings.prompts
    sources = {task: asked.tasks[task] if task else asked.path for task in search.tasks}
    params = search_parameters(settings, search.study.pair.plan)
    run.describe(search.key, search_name(params), params, parent, search.same)
    run.describe_prompts(search.tasks, sources, asked.seed)
    run.write_settings(*settings_text(settings))


def report(search: Search, events: Events) -> None:
    """Writes the report of what a search left in its run folder."""
    write_report(Story.of(search.run, search.study.pair.plan, search.prompts, search.answers), search.run)
    events.say(Reported)


@contextmanager
def status_of(run: RunFolder, events: Events) -> Iterator[None]:
    """Keeps a run's status within the block, and says how it ended."""
    run.set_status(RUNNING)
    status = KILLED  # Ctrl-C, SIGTERM
    try:
        yield
        status = FINISHED
    except Exception:
        status = FAILED
        raise
    finally:
        run.set_status(status)
        events.say(Ended, status=status)
