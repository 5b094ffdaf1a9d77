"""How a plan is executed: which method, with which coefficients."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from adamms.errors import UserError
from adamms.merging.methods import METHODS


@dataclass(frozen=True, slots=True)
class Recipe:
    """A merge method and its coefficients, checked.

    Attributes:
        alpha: the donor's weight, in [0, 1].
    """

    method: str = "linear"
    alpha: float = 0.0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UserError(f"merging.method={self.method}: unknown; known are {', '.join(sorted(METHODS))}")
        if not (math.isfinite(self.alpha) and 0 <= self.alpha <= 1):
            raise UserError(f"alpha={self.alpha}: expected a number from 0 (all base) to 1 (all donor)")

    def at(self, alpha: float) -> Recipe:
        """The same recipe with another alpha."""
        return replace(self, alpha=alpha)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
