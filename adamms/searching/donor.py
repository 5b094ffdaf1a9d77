"""The donor in its own architecture, asked the same prompts as the candidates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adamms.engines.engine import EngineSpec
from adamms.errors import UserError
from adamms.mapping import PlannedPair
from adamms.mapping.pair import plan_alone
from adamms.merging.recipe import Recipe
from adamms.prompts.prompt import Prompt
from adamms.runs.responses import read_responses
from adamms.runs.run_folder import RunFolder, answer_identity
from adamms.searching.answering import Answering, Engines
from adamms.searching.budget import UNLIMITED, Budget, BudgetOver
from adamms.searching.candidates import CandidateBook
from adamms.searching.coefficient import Line
from adamms.searching.config import StudySettings

ITSELF = 0.0
"""The alpha that its answers are stored under: nothing is merged into it."""


def read_donor(path: Path) -> dict[str, str]:
    """The answers of one file or folder, whatever alpha they are stored under.

    Raises:
        UserError: they are of several alphas, or as `read_responses`.
    """
    found = read_responses(path)
    if len(found) > 1:
        raise UserError(f"{path}: holds answers of {len(found)} alphas; the donor's own are expected, of one")
    return next(iter(found.values()))


class Donor:
    """Its engine, and the folder of its answers.

    Args:
        stored: the folder's name in `run_dir`.
    """

    def __init__(self, settings: StudySettings, pair: PlannedPair, stored: str) -> None:
        plan, self._line = plan_alone(pair.donor), Line(Recipe())
        self.spec = EngineSpec(plan, settings.engine, settings.mapping.donor_architecture)
        self.run = RunFolder(Path(settings.run_dir), answer_identity(plan, self._line, settings.engine), stored)
        self._name = settings.donor

    def answers(self, engines: Engines, prompts: Sequence[Prompt], budget: Budget = UNLIMITED) -> CandidateBook:
        """To all prompts; those that are stored are not asked again.

        Raises:
            UserError: no engine can run it.
            BudgetOver: before it had answered.
        """
        answering = Answering(engines, self._line, prompts, self.run, budget=budget, title="donor")
        if answering.book.missing({ITSELF: prompts}):  # else engines of the base may stay
            engines.serve(self.spec)
        complete = answering.answer({ITSELF: prompts})
        if answering.book.errors:
            raise UserError(f"donor {self._name}: {answering.book.errors[ITSELF]}")
        if not complete:
            raise BudgetOver(f"{budget.over}: over before the donor had answered; run it again, its answers are kept")
        return answering.book
