"""What `adamms merge` does, in order."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from adamms.mapping import PlannedPair, plan_pair
from adamms.merging.config import MergeSettings
from adamms.merging.recipe import Recipe
from adamms.merging.staging import check_output
from adamms.merging.to_disk import check_ancestor, merge_to_disk
from adamms.support.progress import bytes_bar

LOG = logging.getLogger(__name__)


def merge_models(
    settings: MergeSettings, alpha: float | None, output: Path, *, smoke: bool = False, force: bool = False
) -> Path:
    """Opens the models, plans, and merges to `output`.

    Args:
        alpha: None for a method that finds the donor's weight by itself.
        smoke: load the result and ask it one question; it appears only if it answers.
    """
    recipe = Recipe.of(settings.merging, alpha)
    if alpha is not None and not recipe.rule.uses_alpha:
        LOG.warning("%s finds the donor's weight by itself; alpha is not used", recipe.method)
    check_output(output, force)
    check_ancestor(recipe, settings.ancestor)
    pair = plan_pair(settings if recipe.rule.needs_ancestor else replace(settings, ancestor=None))
    return merge_pair(settings, pair, recipe, output, force=force, check=_smoke if smoke else _no_check)


def merge_pair(
    settings: MergeSettings,
    pair: PlannedPair,
    recipe: Recipe,
    output: Path,
    *,
    force: bool = False,
    check: Callable[[Path], None] = lambda _: None,
    title: str = "merging",
) -> Path:
    """Merges a pair whose plan is made to `output`, with a progress bar; as `merge_to_disk`."""
    with bytes_bar(title, pair.plan.bytes) as progress:
        return merge_to_disk(
            pair.plan,
            pair.base,
            pair.donor,
            recipe,
            output,
            ancestor=pair.ancestor,
            config=settings.merging,
            ray=settings.ray,
            force=force,
            progress=progress,
            check=check,
        )


def _smoke(folder: Path) -> None:
    from adamms.merging.smoke import ask

    print(f"smoke test, the merged model answers: {ask(folder)!r}", file=sys.stderr)


def _no_check(folder: Path) -> None:
    pass
