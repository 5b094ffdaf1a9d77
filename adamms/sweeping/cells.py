"""The searches of a sweep, each with settings of its own, and what is known of each without running it."""

import logging
import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adamms.config import load_settings, load_yaml, plain
from adamms.errors import UserError
from adamms.merging.companions import was_merged_as
from adamms.runs.lock import locked
from adamms.searching.config import StudySettings
from adamms.searching.metric import with_metric
from adamms.searching.preparing import Search, prepare
from adamms.searching.weights_settings import searches_weights
from adamms.sweeping.config import StudiesSettings

LOG = logging.getLogger(__name__)
SHARED = ("base", "donor", "ancestor", "mapping", "merging", "prompts", "engine", "searching", "budget", "ray")
OF_PAIR = ("base", "donor", "donors", "ancestor", "mapping", "merging", "engine")
"""What a pair's own file gives; prompts and the rest are the sweep's."""


@dataclass(frozen=True)
class Cell:
    """One search of a sweep: a pair, and the method that it is searched with."""

    pair: str
    method: str
    settings: StudySettings

    @property
    def name(self) -> str:
        """As progress bars, logs and tables call it, and its folder."""
        return f"{self.pair}/{self.method}"


def cells_of(settings: StudiesSettings) -> list[Cell]:
    """All searches of a sweep, in the order of the file.

    Raises:
        UserError: everything that is wrong with the pairs, in one go.
    """
    sweep, problems, cells = settings.sweep, [], []
    if not sweep.pairs or not sweep.methods:
        raise UserError("sweep.pairs and sweep.methods: give at least one of each")
    if sweep.lanes < 0:
        raise UserError(f"sweep.lanes={sweep.lanes}: expected 0 or more")
    if settings.searching.methods:
        raise UserError("searching.methods: a sweep searches each of sweep.methods by itself; name them there")
    for pair, given in sweep.pairs.items():
        for method in sweep.methods:
            try:
                cells.append(_cell(settings, str(pair), given, method))
            except UserError as error:
                problems.append(str(error))
    if problems:
        raise UserError("; ".join(dict.fromkeys(problems)))
    return cells


def prepare_cells(cells: list[Cell], force: bool, held: ExitStack) -> tuple[dict[str, Search], dict[str, Exception]]:
    """Every search that can be begun, and what is wrong with the others; both by name.

    Args:
        held: keeps the locks of the folders of those that can.
    """
    searches: dict[str, Search] = {}
    failed: dict[str, Exception] = {}
    for cell in cells:
        try:
            with ExitStack() as lock:
                lock.enter_context(locked(Path(cell.settings.run_dir)))
                searches[cell.name] = prepare(cell.settings, force)
                held.enter_context(lock.pop_all())
        except UserError as error:
            failed[cell.name] = error
        except Exception as error:  # one pair's trouble is not the others'
            LOG.exception("cannot be prepared", extra={"search": cell.name})
            failed[cell.name] = error
    return searches, failed


def is_finished(search: Search) -> bool:
    """Whether the same search, with the same further rounds, ran to its end here before."""
    run, study = search.run, search.study
    selection = run.read(run.selection)
    if not selection or run.read(run.finished) != search.same:
        return False
    if selection.get("tasks") and study.settings.searching.export == "each":
        return all((run.merged / task).is_dir() for task in selection["tasks"])
    with run.understood():
        winner = study.coefficient.candidate(selection["alpha"]).recipe
    return was_merged_as(run.merged, study.pair.plan, winner)


def mark_finished(search: Search) -> None:
    """Remembers that it need not be run again."""
    search.run.write(search.run.finished, search.same)


def _cell(settings: StudiesSettings, pair: str, given: Any, method: str) -> Cell:
    if not re.fullmatch(r"[\w-][\w.-]*", pair):
        raise UserError(f"sweep.pairs: {pair!r} is no name; use letters, digits, . - and _")
    if isinstance(given, str):
        given = {name: value for name, value in load_yaml(Path(given)).items() if name in OF_PAIR}
    if not isinstance(given, Mapping):
        raise UserError(f"sweep.pairs.{pair}: expected the pair's YAML file, or its settings (base, donor, ...)")
    every = plain(settings)
    shared = {name: every[name] for name in SHARED if every[name] != ""}
    own = {"run_dir": str(Path(settings.run_dir, pair, method)), "merging": {"method": method}}
    try:
        one = load_settings(StudySettings, None, [], shared, dict(given), own)
        if searches_weights(one):
            raise UserError("donors: a sweep searches one number; name the donor with searching.donor")
        return Cell(pair, method, with_metric(one))
    except UserError as error:
        raise UserError(f"sweep.pairs.{pair}: {error}") from None
