"""`adamms sweep`: searches for many pairs, with one method or several, over the same tasks; one ranked table."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from adamms.commands.search import carry_out, status_of
from adamms.commands.settings import SweepSettings
from adamms.errors import UserError
from adamms.reporting import ranking
from adamms.runs.lock import locked
from adamms.runs.ownership import must_give_way
from adamms.runs.run_folder import RunFolder
from adamms.searching.budget import Budget
from adamms.searching.description import settings_text
from adamms.searching.events import Events
from adamms.searching.metric import metric_of
from adamms.searching.preparing import Search
from adamms.searching.rehearsal import lines_of, rehearse
from adamms.searching.search import Found
from adamms.searching.warm_engines import WarmEngines
from adamms.support.ray_session import ray_session, warn_if_temporary
from adamms.sweeping.cells import cells_of, is_finished, mark_finished, prepare_cells
from adamms.sweeping.lanes import Result, lanes_of, run_lanes
from adamms.tracking import Tracking, wake_all

SAME = {"command": "sweep"}
"""What a sweep's own folder has to be of: its searches have folders of their own, which know more."""


def sweep(settings: SweepSettings, force: bool = False) -> list[ranking.RankedSearch]:
    """Runs what is missing of a sweep, side by side within the cluster; gives the ranked rows.

    Raises:
        UserError: no search can begin. One that fails later has a row that says so.
    """
    cells, run, budget = cells_of(settings), RunFolder(Path(settings.run_dir)), Budget(settings.budget)
    with ExitStack() as held:
        held.enter_context(locked(run.folder))
        if must_give_way(run, SAME, force):
            run.set_aside()
        return run_sweep(settings, budget, len(cells), *prepare_cells(cells, force, held))


def run_sweep(
    settings: SweepSettings,
    budget: Budget,
    cells: int,
    searches: Mapping[str, Search],
    failed: Mapping[str, Exception],
) -> list[ranking.RankedSearch]:
    """As `sweep`, of the searches that can begin, and the reasons of those that cannot."""
    run = RunFolder(Path(settings.run_dir))
    if not searches:
        raise UserError("; ".join(f"{name}: {error}" for name, error in failed.items()))
    warn_if_temporary(run.folder)
    metric, rows = metric_of(settings), {name: ranking.failed_search(name, error) for name, error in failed.items()}
    unchanged = {name for name, search in searches.items() if is_finished(search)}
    rows |= {name: ranking.finished_search(name, "unchanged", searches[name].run, metric) for name in unchanged}
    todo = {name: search for name, search in searches.items() if name not in unchanged}

    tracking = replace(settings.tracking, uri=settings.tracking.address(run.folder))  # one for all searches
    run.describe(key_of(run.folder), run.folder.name, parameters(settings), same=SAME)
    run.write_settings(*settings_text(settings))
    with Tracking(tracking, run) as tracked, status_of(run, Events((tracked,), run)), ExitStack() as stack:
        lanes = 0
        if todo:
            stack.enter_context(ray_session(settings.ray.address))
            import ray  # not before its session, which sets what Ray reads when it is imported

            lanes = lanes_of(settings.engine, settings.sweep.lanes, ray.cluster_resources())

        def carry(search: Search, engines: WarmEngines, name: str) -> Found:
            return carry_out(search, engines, budget, tracking, title=name, sweep=run)

        for name, result in run_lanes(todo, min(lanes, len(todo)), settings.ray, budget, carry, wake_all):
            rows[name] = settle(name, todo[name], result, metric)
            write(run, rows.values(), budget, cells)
        order = write(run, rows.values(), budget, cells)
        ranking.draw(order, metric, run.figures)
        return order


def rehearse_sweep(settings: SweepSettings) -> Iterator[tuple[str, str]]:
    """What each search of a sweep would do, in words, one after the other; and what stops those that cannot begin."""
    for cell in cells_of(settings):
        yield cell.name, ""
        try:
            yield from lines_of(rehearse(cell.settings))
        except UserError as error:
            yield "trouble", str(error)


def settle(name: str, search: Search, result: Result, metric: str) -> ranking.RankedSearch:
    """A search's row; one that ended by itself need not be run again."""
    if isinstance(result, Exception):
        return ranking.failed_search(name, result)
    row = ranking.finished_search(name, "finished", search.run, metric)
    if row.status == "finished":
        mark_finished(search)
    return row


def write(
    run: RunFolder, rows: Iterable[ranking.RankedSearch], budget: Budget, searches: int
) -> list[ranking.RankedSearch]:
    """The ranked table so far, and what it took; gives the rows in their order."""
    order = ranking.ranked(rows)
    run.write(run.sweep, ranking.to_json(order))
    run.write(run.costs, {"peaks": {"gpu_hours": budget.usage.gpu_hours, "searches": searches}})
    return order


def key_of(folder: Path) -> str:
    """Identifies the sweep on the dashboard: by its folder, as a search is."""
    return hashlib.sha256(f"sweep {folder.resolve()}".encode()).hexdigest()[:16]


def parameters(settings: SweepSettings) -> dict[str, str]:
    """What the sweep's run on the dashboard says."""
    sweep, prompts = settings.sweep, settings.prompts
    return {
        "pairs": ", ".join(sweep.pairs),
        "methods": ", ".join(sweep.methods),
        "tasks": ", ".join(prompts.tasks) or prompts.path,
        "metric": metric_of(settings),
        "run_dir": str(Path(settings.run_dir).resolve()),
    }


def raise_failures(rows: list[ranking.RankedSearch]) -> None:
    """Raise UserError if a search failed; the others are finished all the same."""
    bad = [row.name for row in rows if row.status == ranking.FAILED]
    if bad:
        raise UserError(f"{len(bad)} of {len(rows)} searches failed, see their notes: {', '.join(bad)}")
