"""What settings of several donors ask for: which weights, along which lines, in which folders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from adamms.addresses import short_name
from adamms.errors import UserError
from adamms.merging.methods.coefficient import ALPHA
from adamms.merging.recipe import Recipe, parse_alpha
from adamms.runs.run_folder import RunFolder
from adamms.runs.values import format_value, normalize_value
from adamms.searching.coefficient import FEWEST
from adamms.searching.config import StudySettings
from adamms.searching.walk import Step, Walk, Weights
from adamms.selecting.criteria import get_criterion


def searches_weights(settings: StudySettings) -> bool:
    """Whether settings ask for the weights of several donors, rather than for one number."""
    searching = settings.searching
    uses_alpha = Recipe(settings.merging.method).rule.uses_alpha
    return len(settings.donors) > 1 and searching.coefficient == ALPHA and not searching.donor and uses_alpha


def names_of(settings: StudySettings) -> list[str]:
    """The donors' short names, or where two are alike, their whole ones."""
    short = list(map(short_name, settings.donors))
    return short if len(set(short)) == len(short) else list(settings.donors)


def settings_of_step(settings: StudySettings, step: Step, folder: str = RunFolder.LINES) -> StudySettings:
    """The settings of the ordinary search along one donor's weight."""
    written = [format_value(weight) for weight in step.weights]
    place = "_".join("x" if i == step.donor else weight for i, weight in enumerate(written))
    searching = replace(settings.searching, donor=step.donor + 1, alpha=",".join(written), alphas=step.values, trials=0)
    return replace(settings, run_dir=str(Path(settings.run_dir, folder, place)), searching=searching)


def walk_of(settings: StudySettings, names: Sequence[str] | None = None, start: Weights | None = None) -> Walk:
    """The way that settings ask for.

    Args:
        start: the weights that it begins with, where a surrogate has found some.

    Raises:
        UserError: a value is no weight, or there are too few.
    """
    values = sorted({normalize_value(value) for value in settings.searching.alphas})
    if not values or not 0 <= values[0] <= values[-1] <= 1 or len(values) < FEWEST:
        raise UserError(f"searching.alphas: {values}: expected {FEWEST} weights of a donor or more, from 0 to 1")
    return Walk(names or names_of(settings), values, settings.searching.passes, FEWEST, start)


def check_weights(settings: StudySettings) -> None:
    """Raise UserError with everything that does not go together with a search over several donors' weights."""
    if problems := list(_problems(settings)):
        raise UserError.from_problems(problems)


def _problems(settings: StudySettings) -> Iterator[str]:
    searching, most = settings.searching, settings.budget.candidates
    if searching.methods:
        yield "searching.methods: with several donors one method is searched at a time; set merging.method"
    if searching.export == "each":
        yield "searching.export=each: with several donors there is one winner; set it to one"
    if searching.passes < 0:
        yield f"searching.passes={searching.passes}: expected 0 or more"
    criterion = get_criterion(searching.metric)
    if searching.trials < 0:
        yield f"searching.trials={searching.trials}: expected 0 or more"
    if searching.trials and (criterion.asks_scores or criterion.asks_donor or not criterion.absolute):
        yield (
            f"searching.trials: searching.metric={searching.metric} cannot score one set of weights by its own "
            "answers; take one that does, such as logprob"
        )
    line = len({normalize_value(value) for value in searching.alphas})
    first = searching.trials + line - 1  # the line goes through the best of the trials
    if searching.trials and 0 not in searching.alphas:
        yield "searching.trials: the first of them leave donors out, so searching.alphas needs 0; add it"
    if searching.trials and 0 < most < first:
        yield f"budget.candidates={most}: searching.trials and the first line may ask {first} sets of weights; raise it"
    if most and searching.refine:
        yield "budget.candidates: how many searching.refine adds to a line is not known before; set one of the two only"
    if searching.extend:
        yield "searching.extend: with several donors each line has the same searching.alphas; give all of them there"
    if isinstance(searching.alpha, str) and parse_alpha(searching.alpha):
        yield (
            "searching.alpha: all donors' weights are searched; with searching.donor one of them, while the others "
            "keep those of searching.alpha"
        )
