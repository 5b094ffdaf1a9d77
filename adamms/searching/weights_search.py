"""A search over the weights of several donors, checked: the lines it begins with, and how it makes others."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from adamms.runs.lock import locked
from adamms.runs.run_folder import RunFolder
from adamms.runs.values import format_value
from adamms.searching.config import StudySettings
from adamms.searching.preparing import Search, own_whole, prepare, prepare_along
from adamms.searching.walk import Step
from adamms.searching.weights_settings import check_weights, names_of, settings_of_step, walk_of


@dataclass(frozen=True)
class WeightsSearch:
    """A search over the weights of several donors that was checked.

    Attributes:
        first: a line along each donor that begins with no other one.
        same: what makes it this search and no other.
        held: keeps the locks of the lines' folders.
    """

    settings: StudySettings
    first: dict[Step, Search]
    run: RunFolder
    same: dict[str, Any]
    held: ExitStack
    force: bool = False

    @property
    def any(self) -> Search:
        """One of the lines: models, prompts, base and engine are the same."""
        return next(iter(self.first.values()))

    @property
    def names(self) -> list[str]:
        """What donors are called, each its own way."""
        return names_of(self.settings)

    def line(self, step: Step) -> Search:
        """The ordinary search of one step, in a folder of its own."""
        if step in self.first:
            return self.first[step]
        settings = settings_of_step(self.settings, step)
        self.held.enter_context(locked(Path(settings.run_dir)))
        return prepare_along(self.any, settings, self.force)

    def title(self, step: Step) -> str:
        """`text, with onevision 0.3`"""
        others = [f"{self.names[i]} {format_value(weight)}" for i, weight in enumerate(step.weights) if weight]
        return self.names[step.donor] + (f", with {' and '.join(others)}" if others else "")

    def whole(self, line: Search) -> Search:
        """A line as the whole shows it: in the folder of it all, with the settings that were given."""
        return replace(line, study=replace(line.study, run=self.run, settings=self.settings), same=self.same)


def prepare_weights(settings: StudySettings, force: bool, held: ExitStack) -> WeightsSearch:
    """Checks the lines that it begins with.

    Args:
        force: sets aside what another search left in the folders.
        held: keeps the locks of the lines' folders.

    Raises:
        UserError: the first thing to mend.
    """
    check_weights(settings)
    run = RunFolder(Path(settings.run_dir))
    first: dict[Step, Search] = {}
    for step in next(iter(walk_of(settings))):
        one = settings_of_step(settings, step)
        held.enter_context(locked(Path(one.run_dir)))
        known = next(iter(first.values()), None)
        first[step] = prepare_along(known, one, force) if known else prepare(one, force, parents=run)
    same: dict[str, Any] = {"command": "search", "searching.passes": settings.searching.passes}
    same |= {"searching.trials": settings.searching.trials} if settings.searching.trials else {}
    same["lines"] = {step.donor: line.same for step, line in first.items()}
    whole = replace(next(iter(first.values())).study, run=run)
    return WeightsSearch(settings, first, run, own_whole(whole, same, force), held, force)
