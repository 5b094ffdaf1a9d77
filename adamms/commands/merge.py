"""`adamms merge`: one checkpoint from two models, with coefficients that are given."""

import logging
import sys
from dataclasses import replace
from pathlib import Path

from adamms.engines.models.families import family_of
from adamms.errors import UserError
from adamms.mapping import plan_pair
from adamms.merging.config import MergeSettings
from adamms.merging.recipe import Recipe
from adamms.merging.staging import check_output
from adamms.merging.to_disk import check_ancestor, merge_to_disk
from adamms.support.progress import doing

LOG = logging.getLogger(__name__)


def merge(settings: MergeSettings, alpha: float | None, output: Path, smoke: bool = False, force: bool = False) -> Path:
    """Opens the models, plans, and writes the merged checkpoint to `output`, which it returns.

    Args:
        alpha: None for a method that finds the donor's weight by itself.
        smoke: load the result and ask it one question; it appears only if it answers.
        force: replace an existing `output`.

    Raises:
        UserError: whatever the user can mend of the settings, the models or the disk.
    """
    recipe = Recipe.of(settings.merging, alpha)
    if alpha is not None and not recipe.rule.uses_alpha:
        LOG.warning("%s finds the donor's weight by itself; alpha is not used", recipe.method)
    check_output(output, force)
    check_ancestor(recipe, settings.ancestor)
    with doing("opening the models and planning the merge"):
        pair = plan_pair(settings if recipe.rule.needs_ancestor else replace(settings, ancestor=None))
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


def _smoke_test(folder: Path) -> None:
    from adamms.merging.smoke import ask

    print(f"smoke test, the merged model answers: {ask(folder)!r}", file=sys.stderr)
