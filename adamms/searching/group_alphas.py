"""After the one alpha for all weights, one for each group of them: by coordinate passes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from adamms.config import SearchSettings
from adamms.errors import UserError
from adamms.mapping import PlannedPair
from adamms.merging.groups import named_groups
from adamms.searching.alphas import Line, check_alphas
from adamms.searching.answering import Answering, Engines
from adamms.searching.budget import Budget, BudgetOver
from adamms.searching.goal import goals_of
from adamms.searching.outcome import reach
from adamms.searching.run_folder import RunFolder, answer_identity
from adamms.searching.selection import Selection

if TYPE_CHECKING:
    from adamms.searching.search import Search


def check_groups(settings: SearchSettings, pair: PlannedPair) -> list[str]:
    """The groups of weights that get an alpha of their own.

    Raises:
        UserError: an unknown group, or settings that do not go with groups.
    """
    config = settings.searching
    if config.groups and (config.coefficient != "alpha" or len(settings.prompts.tasks) > 1):
        raise UserError("searching.groups: needs searching.coefficient=alpha and one task")
    return named_groups(config.groups, pair.plan.merged)


def find_group_alphas(search: Search, engines: Engines, selection: Selection, budget: Budget) -> Line:
    """From the one alpha for all, an alpha for each group of weights: one after the other, in passes over all groups.

    Every step is a search of its own, over the same candidates for one group while the others stay as they are.
    """
    settings, line = search.settings, search.line
    if selection.alpha is None:
        return line
    alphas = check_alphas(settings.searching.alphas, line)
    for step, group in enumerate(search.groups * settings.searching.passes):
        steps = Line.searched(line.at(selection.alpha) if step == 0 else line.recipe, group)
        folder = Path(settings.run_dir, "groups", f"{step + 1}-{group.replace(':', '-')}")
        run = RunFolder(folder, answer_identity(search.pair.plan, steps, settings.engine))
        goals = goals_of({"": search.prompts}, alphas, search.rule, settings.prompts.seed)
        try:
            reach(goals, Answering(engines, steps, search.prompts, run, budget=budget))
        except BudgetOver:
            break
        found = goals[""].selection
        run.write_json(run.selection_file, found.to_json())
        line = Line(steps.at(selection.alpha if found.alpha is None else found.alpha), line.coefficient)
    return line
