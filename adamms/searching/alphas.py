"""The candidates of a search."""

from __future__ import annotations

import math
from collections.abc import Sequence

from adamms.errors import UserError
from adamms.searching.responses import normalize_alpha


def check_alphas(alphas: Sequence[float]) -> list[float]:
    """The alphas in ascending order, each once.

    Raises:
        UserError: an alpha outside [0, 1], or too few to have an interior candidate.
    """
    outside = [alpha for alpha in alphas if not (math.isfinite(alpha) and 0 <= alpha <= 1)]
    if outside:
        raise UserError(f"searching.alphas: {outside} outside [0, 1]; alpha weighs the donor, 0 is all base")
    found = sorted({normalize_alpha(alpha) for alpha in alphas})
    if len(found) < 3:
        raise UserError(
            f"searching.alphas: {found} are too few; a candidate is judged against both neighbours, so give 3 or more"
        )
    return found
