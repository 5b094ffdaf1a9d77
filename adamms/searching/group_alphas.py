"""After the one alpha for all weights, one for each group of them: by coordinate passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adamms.errors import UserError
from adamms.mapping import PlannedPair
from adamms.merging.groups import named_groups
from adamms.runs.responses import format_alpha
from adamms.runs.run_folder import RunFolder, answer_identity
from adamms.searching.answering import Answering, Engines
from adamms.searching.budget import Budget, BudgetOver
from adamms.searching.candidates import CandidateBook
from adamms.searching.coefficient import Line, check_alphas
from adamms.searching.config import StudySettings
from adamms.searching.goal import goals_of
from adamms.searching.outcome import reach
from adamms.selecting.selection import Selection
from adamms.tracking import SearchTracker

if TYPE_CHECKING:
    from adamms.searching.search import Search


def check_groups(settings: StudySettings, pair: PlannedPair) -> list[str]:
    """The groups of weights that get an alpha of their own.

    Raises:
        UserError: an unknown group, or settings that do not go with groups.
    """
    config = settings.searching
    if config.groups and (config.coefficient != "alpha" or len(settings.prompts.tasks) > 1):
        raise UserError("searching.groups: needs searching.coefficient=alpha and one task")
    return named_groups(config.groups, pair.plan.merged)


@dataclass(frozen=True)
class GroupStep:
    """One group's candidates, and what was chosen from them.

    Attributes:
        alpha: that the group has from here on; what it had where the step chose nothing.
        folder: the step's own run folder.
    """

    group: str
    alpha: float
    selection: Selection
    book: CandidateBook
    folder: Path

    @property
    def measured(self) -> dict[str, float]:
        """For the dashboard: `alpha_attention`, the divergence of the chosen one, and how surely it was chosen."""
        chosen, name = self.selection.alpha, self.group.replace(":", "-")
        found = {f"alpha_{name}": self.alpha}
        if chosen is None:
            return found
        score, share = self.selection.scores[chosen], self.selection.bootstrap.get(chosen)
        further = {f"{self.selection.metric}_{name}": score, f"chosen_in_resamples_{name}": share}
        return found | {key: value for key, value in further.items() if value is not None}

    def to_json(self) -> dict[str, Any]:
        """As the report tells it."""
        chosen = self.selection.alpha
        score = None if chosen is None else self.selection.scores[chosen]
        return {"group": self.group, "alpha": self.alpha, "score": score, "verdict": self.selection.verdict}


def find_group_alphas(
    search: Search, engines: Engines, selection: Selection, budget: Budget
) -> tuple[Line, list[GroupStep]]:
    """From the one alpha for all, an alpha for each group of weights: one after the other, in passes over all groups.

    Every step is a search of its own, over the same candidates for one group while the others stay as they are.
    """
    settings, line = search.settings, search.line
    taken: list[GroupStep] = []
    if selection.alpha is None:
        return line, taken
    alphas = check_alphas(settings.searching.alphas, line)
    for step, group in enumerate(search.groups * settings.searching.passes):
        steps = Line.searched(line.at(selection.alpha) if step == 0 else line.recipe, group)
        folder = Path(settings.run_dir, "groups", f"{step + 1}-{group.replace(':', '-')}")
        run = RunFolder(folder, answer_identity(search.pair.plan, steps, settings.engine))
        goals = goals_of({"": search.prompts}, alphas, search.rule, settings.prompts.seed)
        answering = Answering(engines, steps, search.prompts, run, budget=budget)
        try:
            reach(goals, answering)
        except BudgetOver:
            break
        found = goals[""].selection
        run.write_json(run.selection_file, found.to_json())
        before = dict(steps.recipe.groups).get(group, steps.recipe.rule).alpha
        alpha = before if found.alpha is None else found.alpha
        taken.append(GroupStep(group, alpha, found, answering.book, folder))
        line = Line(steps.at(alpha), line.coefficient)
    return line, taken


def alphas_of_groups(line: Line) -> dict[str, float]:
    """Those that are not the one for all."""
    return {name: rule.alpha for name, rule in line.recipe.groups}


def group_alphas(line: Line, steps: Sequence[GroupStep]) -> dict[str, Any]:
    """What `selection.json` says of them."""
    if not line.recipe.groups:
        return {}
    return {"groups": alphas_of_groups(line), "group_steps": [step.to_json() for step in steps]}


def track_groups(tracker: SearchTracker, line: Line, steps: Sequence[GroupStep]) -> None:
    """A group's alpha as a metric of the search, step by step, and all of them as a tag; the steps' own choices."""
    for number, step in enumerate(steps, start=1):
        tracker.log_metrics(step.measured, number)
        tracker.log_files([step.folder / "selection.json"], str(step.folder.relative_to(tracker.folder)))
    if steps:
        groups = alphas_of_groups(line).items()
        tracker.log_tags({"group_alphas": ", ".join(f"{name} {format_alpha(alpha)}" for name, alpha in groups)})
