"""Search alpha for many pairs of models, with one method or several, over the same tasks; ends with one ranked table.

    python pipelines/sweep.py --config conf/sweeps/demo.yaml [key=value ...]
    ray job submit --no-wait --working-dir . -- python pipelines/sweep.py --config conf/sweeps/demo.yaml run_dir=/...

Pairs run side by side within the cluster; searches with the same base share engines; one that fails leaves the others
alone. The same command run again does what is missing: nothing that is finished and unchanged is done again.
"""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from pathlib import Path

import adamms.reporting.ranking as ranking
from adamms.cli import pipeline
from adamms.commands.settings import SweepSettings
from adamms.errors import UserError
from adamms.searching.budget import Budget
from adamms.searching.search import Search
from adamms.support.files import write_json
from adamms.support.ray_session import ray_session, warn_if_temporary
from adamms.sweeping.cells import cells_of, is_finished, mark_finished, prepare_cells
from adamms.sweeping.lanes import Result, lanes_of, run_lanes
from adamms.tracking import SweepTracker


@pipeline
def main(settings: SweepSettings, force: bool) -> None:
    folder = Path(settings.run_dir)
    budget = Budget(settings.budget)
    cells = cells_of(settings)
    searches, failed = prepare_cells(cells, force)
    if not searches:
        raise UserError("; ".join(f"{name}: {error}" for name, error in failed.items()))
    warn_if_temporary(folder)
    rows = {name: ranking.failed_row(name, error) for name, error in failed.items()}
    unchanged = [name for name, search in searches.items() if is_finished(search)]
    rows |= {name: ranking.row_of(name, "unchanged", searches[name].run.folder) for name in unchanged}
    todo = {name: search for name, search in searches.items() if name not in rows}

    with SweepTracker(settings.tracking, key_of(folder), folder.name, parameters(settings), folder) as tracker:
        with ExitStack() as stack:
            lanes = start(stack, settings) if todo else 0
            for name, result in run_lanes(todo, min(lanes, len(todo)), settings, budget, tracker.as_parent):
                rows[name] = settle(name, todo[name], result)
                tracker.log_metrics({"searches_done": len(rows), "searches": len(cells)})
        order = ranking.ranked(rows.values())
        write_json(folder / "sweep.json", ranking.to_json(order))
        figures = ranking.draw(order, settings.searching.metric, folder / "figures")
        tracker.log_metrics({"failed": sum(row.status == ranking.FAILED for row in order)})
        tracker.log_metrics({"gpu_hours": budget.gpu_hours, "searches_done": len(rows), "searches": len(cells)})
        tracker.log_files([folder / "sweep.json"])
        tracker.log_table("ranking.json", *ranking.to_table(order))
        tracker.log_files(figures, "figures")
    ranking.print_ranking(order, settings.searching.metric)
    print(f"ranking:    {folder / 'sweep.json'}")
    end_with(order)


def start(stack: ExitStack, settings: SweepSettings) -> int:
    """Ray is up until the stack ends; how many searches it has room for."""
    import ray

    stack.enter_context(ray_session(settings.ray.address))
    return lanes_of(settings.engine, settings.sweep.lanes, ray.cluster_resources())


def settle(name: str, search: Search, result: Result) -> ranking.Row:
    """A search's row; one that ended by itself need not be run again."""
    if isinstance(result, Exception):
        return ranking.failed_row(name, result)
    row = ranking.row_of(name, "finished", search.run.folder)
    if row.status == "finished":
        mark_finished(search)
    return row


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
        "metric": settings.searching.metric,
        "run_dir": str(Path(settings.run_dir).resolve()),
    }


def end_with(rows: list[ranking.Row]) -> None:
    """Exit status 2 if a search failed; the others are finished all the same."""
    bad = [row.name for row in rows if row.status == ranking.FAILED]
    if bad:
        raise UserError(f"{len(bad)} of {len(rows)} searches failed, see their notes: {', '.join(bad)}")


if __name__ == "__main__":
    main()
