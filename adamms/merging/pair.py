"""Merging a pair whose plan is made, with a progress bar."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from adamms.mapping import PlannedPair
from adamms.merging.config import MergeSettings
from adamms.merging.recipe import Recipe
from adamms.merging.to_disk import merge_to_disk
from adamms.support.progress import bytes_bar


def merge_pair(
    settings: MergeSettings,
    pair: PlannedPair,
    recipe: Recipe,
    output: Path,
    *,
    force: bool = False,
    check: Callable[[Path], None] | None = None,
    title: str = "merging",
) -> Path:
    """Writes the merged checkpoint to `output`, as `merge_to_disk` does, and shows on stderr how far it is.

    Args:
        settings: of which `merging` and `ray` say where and how the merge runs.
        title: of the progress bar.
    """
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
