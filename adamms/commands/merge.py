"""`adamms merge`: one checkpoint from two models, with coefficients that are given."""

import logging
import sys
from pathlib import Path

from adamms.engines.models.families import family_of
from adamms.errors import UserError
from adamms.mapping import PlannedPair, plan_pair
from adamms.merging.ancestor import with_ancestor
from adamms.merging.config import MergeSettings
from adamms.merging.recipe import Alpha, Recipe
from adamms.merging.rehearsal import NOTHING, Lines, merge_lines
from adamms.merging.staging import check_output
from adamms.merging.to_disk import check_apart, merge_to_disk
from adamms.support.progress import doing

LOG = logging.getLogger(__name__)


def merge(settings: MergeSettings, alpha: Alpha | None, output: Path, smoke: bool = False, force: bool = False) -> Path:
    """Opens the models, plans, and writes the merged checkpoint to `output`, which it returns.

    Args:
        alpha: of the donor, or of each of several; None for a method that finds the weights by itself.
        smoke: load the result and ask it one question; it appears only if it answers.
        force: replace an existing `output`.

    Raises:
        UserError: whatever the user can mend of the settings, the models or the disk.
    """
    check_output(output, force)
    recipe, pair = _planned(settings, alpha)
    print(pair.plan.summary, file=sys.stderr)
    for warning in pair.plan.warnings:
        LOG.warning("%s", warning)
    if smoke and family_of(pair.plan.base) is not None:
        raise UserError(
            f"--smoke: transformers, which it asks, does not load {pair.plan.base.location} as its authors publish it; "
            "leave --smoke out (a search loads it in vLLM)"
        )
    check = _smoke_test if smoke else None
    return merge_to_disk(pair, recipe, output, config=settings.merging, ray=settings.ray, force=force, check=check)


def rehearse(settings: MergeSettings, alpha: Alpha | None, output: Path, force: bool = False) -> Lines:
    """What `merge` would do, in words, and what would stop it; only headers are read, and nothing is written.

    Raises:
        UserError: what has to be mended before more can be said.
    """
    recipe, pair = _planned(settings, alpha, weights=False)
    yield from merge_lines(pair, recipe, output, settings.merging, settings.ray)
    try:
        check_output(output, force)
        check_apart(output, pair.models)
    except UserError as error:
        yield "trouble", str(error)
    yield NOTHING


def _planned(settings: MergeSettings, alpha: Alpha | None, *, weights: bool = True) -> tuple[Recipe, PlannedPair]:
    """The checked recipe and plan.

    Args:
        weights: False to fetch of a remote model's weights only headers and samples.
    """
    recipe = Recipe.of(settings.merging, alpha)
    if alpha is not None and not recipe.rule.uses_alpha:
        LOG.warning("%s finds the donor's weight by itself; alpha is not used", recipe.method)
    recipe.check_donors(len(settings.all_donors))
    settings = with_ancestor(settings, recipe)
    with doing("opening the models and planning the merge"):
        return recipe, plan_pair(settings, weights=weights)


def _smoke_test(folder: Path) -> None:
    from adamms.merging.smoke import ask

    print(f"smoke test, the merged model answers: {ask(folder)!r}", file=sys.stderr)
