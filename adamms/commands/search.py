"""`adamms search`: find the coefficient for one pair without labels, and export the winner."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from adamms.commands.settings import SearchSettings
from adamms.errors import UserError
from adamms.reporting.report import Story, write_report
from adamms.runs.lock import locked
from adamms.runs.run_folder import FAILED, FINISHED, KILLED, RUNNING, RunFolder
from adamms.searching.budget import Budget
from adamms.searching.description import search_name, search_parameters, settings_text
from adamms.searching.events import Ended, Events, Listener, Reported
from adamms.searching.listeners import ProgressBars, count_in_ray, log_lines
from adamms.searching.preparing import Search, prepare
from adamms.searching.search import Found, run_search
from adamms.searching.warm_engines import WarmEngines
from adamms.support.ray_session import warn_if_temporary
from adamms.tracking import Tracking
from adamms.tracking.config import TrackingConfig


def search(settings: SearchSettings, force: bool = False, listeners: Iterable[Listener] = ()) -> Found:
    """Maps, merges inside warm engines, searches, exports, reports; run again, it goes on where it stopped.

    Args:
        force: sets aside what another search left in `run_dir`.
        listeners: are told what happens, beside progress bars, logs, Ray's metrics and MLflow.

    Raises:
        UserError: something that the user can mend, or nothing could be chosen.
    """
    with locked(Path(settings.run_dir)):
        found = prepare(settings, force)  # everything the user can mend is found before anything is written
        warn_if_temporary(found.run.folder)
        budget = Budget(settings.budget)
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
    run, study = search.run, search.study
    settings = study.settings
    sources = {task: settings.prompts.tasks[task] if task else settings.prompts.path for task in search.tasks}
    params = search_parameters(settings, study.pair.plan)
    run.describe(search.key, search_name(params), params, sweep, search.same)
    run.describe_prompts(search.tasks, sources, settings.prompts.seed)
    run.write_settings(*settings_text(settings))
    with Tracking(tracking, run) as tracked:
        everybody: list[Listener] = [log_lines, count_in_ray, ProgressBars(), *listeners, tracked]
        events = Events(everybody, run, title)
        with status_of(run, events):
            found = run_search(search, engines, budget, everybody, title)
            write_report(Story.of(run, study.pair.plan, search.prompts, search.answers), run)
            events.say(Reported)
    if found.outcome.selection.chosen is None:
        raise UserError(f"searching.alphas: {found.outcome.selection.verdict}; try smaller or other alphas")
    return found


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
