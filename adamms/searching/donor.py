"""The donor in its own architecture, asked the same prompts as the candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from adamms.config import SearchSettings
from adamms.errors import UserError
from adamms.generation.engine import EngineSpec
from adamms.generation.prompts import Prompt
from adamms.mapping import PlannedPair
from adamms.mapping.pair import plan_alone
from adamms.merging.recipe import Recipe
from adamms.searching.alphas import Line
from adamms.searching.answering import Answering, Engines
from adamms.searching.budget import UNLIMITED, Budget, BudgetOver
from adamms.searching.candidates import CandidateBook
from adamms.searching.responses import read_responses
from adamms.searching.run_folder import RunFolder, answer_identity

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


@dataclass(frozen=True)
class Donor:
    """Its engine, and the folder of its answers.

    Args:
        stored: the folder's name in `run_dir`.
    """

    settings: SearchSettings
    pair: PlannedPair
    stored: str

    def answers(self, engines: Engines, prompts: Sequence[Prompt], budget: Budget = UNLIMITED) -> CandidateBook:
        """To all prompts; those that are stored are not asked again.

        Raises:
            UserError: no engine can run it.
            BudgetOver: before it had answered.
        """
        settings, plan, line = self.settings, plan_alone(self.pair.donor), Line(Recipe())
        run = RunFolder(Path(settings.run_dir), answer_identity(plan, line, settings.engine), self.stored)
        engines.serve(EngineSpec(plan, settings.engine, settings.mapping.donor_architecture))
        answering = Answering(engines, line, prompts, run, budget=budget, title="donor")
        complete = answering.answer({ITSELF: prompts})
        if answering.book.errors:
            raise UserError(f"donor {settings.donor}: {answering.book.errors[ITSELF]}")
        if not complete:
            raise BudgetOver(f"{budget.over}: over before the donor had answered; run it again, its answers are kept")
        return answering.book
