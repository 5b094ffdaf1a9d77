"""What a search walks along: one coefficient of a merge method, and the values that are tried."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

from adamms.errors import UserError
from adamms.merging.candidate import Candidate
from adamms.merging.config import MergingConfig
from adamms.merging.methods.coefficient import ALPHA
from adamms.merging.recipe import Recipe, coefficients_of, parse_alpha
from adamms.runs.values import format_value, normalize_value
from adamms.searching.config import SearchingConfig

FEWEST = 3
"""Values, so that one lies between others."""


@dataclass(frozen=True)
class SearchedCoefficient:
    """One recipe of which one coefficient varies: alpha, unless another one is named; of several donors, the alpha of
    `donor`."""

    name: str
    recipe: Recipe
    donor: int | None = None

    @classmethod
    def of(cls, merging: MergingConfig, searching: SearchingConfig) -> Self:
        """The coefficient that settings name.

        Raises:
            UserError: the method has no such coefficient, or it is no number.
        """
        name, recipe = searching.coefficient, Recipe.of(merging, parse_alpha(searching.alpha))
        numbers = [own for own in coefficients_of(recipe.method) if type(getattr(recipe.rule, own)) in (int, float)]
        known = ["alpha", *numbers] if recipe.rule.uses_alpha else numbers
        if name not in known:
            has = f"has {', '.join(known)}" if known else "has none to search"
            raise UserError(f"searching.coefficient={name}: {recipe.method} {has}")
        count = len(recipe.rule.alphas)
        if searching.donor and (name != ALPHA or not 0 < searching.donor <= count or count == 1):
            raise UserError(
                f"searching.donor={searching.donor}: expected the number of one of several donors, whose alpha is "
                f'searched; searching.alpha has the weights of {count}, give all of them, such as "0,0.2"'
            )
        return cls(name, recipe, searching.donor - 1 if searching.donor else None)

    @property
    def limits(self) -> tuple[float, float]:
        """The smallest and the largest value that it may have; of one of several donors' alphas, what the weights of
        the others leave of 1."""
        if self.name != ALPHA:
            own = coefficients_of(self.recipe.method)[self.name]
            return own.low, own.high
        return 0.0, normalize_value(1 - math.fsum(self._others)) if self.donor is not None else 1.0

    @property
    def with_base(self) -> bool:
        """Whether the candidate of 0 is the base itself."""
        return self.name == ALPHA and self.recipe.rule.leaves_base and not any(self._others)

    @property
    def _others(self) -> list[float]:
        """The weights of the donors that are not searched."""
        return [weight for donor, weight in enumerate(self.recipe.rule.alphas) if donor != (self.donor or 0)]

    def candidate(self, value: float) -> Candidate:
        """The candidate of one value."""
        return Candidate(value, self.recipe.at(value, self.name, self.donor))

    def fixed(self) -> dict[str, object]:
        """What all candidates have in common; of several donors' weights, None in place of the one that varies."""
        found = {name: value for name, value in self.recipe.to_dict().items() if name != self.name}
        if self.donor is not None:
            found[ALPHA] = [None if i == self.donor else own for i, own in enumerate(self.recipe.rule.alphas)]
        return found

    def check(self, values: Sequence[float], fewest: int = FEWEST) -> list[float]:
        """The values in ascending order, each once.

        Raises:
            UserError: one is out of the coefficient's range, or there are too few.
        """
        low, high = self.limits
        outside = [value for value in values if not (math.isfinite(value) and low <= value <= high)]
        if outside:
            what = "alpha weighs the donor, 0 is all base" if self.name == ALPHA else f"values of {self.name}"
            raise UserError(f"searching.alphas: {outside} outside [{low:g}, {high:g}]; {what}")
        found = sorted({normalize_value(value) for value in values})
        if len(found) < fewest:
            raise UserError(
                f"searching.alphas: {found} are too few; a candidate is compared with both neighbours, "
                f"so give {fewest} or more"
            )
        for value in found:
            self.candidate(value)
        return found


def check_refine(values: Sequence[float], steps: Sequence[float]) -> None:
    """Raise UserError where a step of the finer rounds is not smaller than the one before it."""
    before = min(b - a for a, b in pairwise(values))
    for step in steps:
        if not 0 < step < before + 1e-9 or math.isclose(step, before):
            raise UserError(
                f"searching.refine: {list(steps)}: {step:g} is no finer step; the one before is {format_value(before)}"
            )
        before = step


def finer(values: Sequence[float], best: float, step: float) -> list[float]:
    """Values in steps around the best one, as far as its neighbours among `values` on both sides."""
    place = list(values).index(best)
    low, high = values[max(place - 1, 0)], values[min(place + 1, len(values) - 1)]
    down, up = math.floor((best - low) / step + 1e-6), math.floor((high - best) / step + 1e-6)
    return [normalize_value(best + count * step) for count in range(-down, up + 1)]


def beyond(values: Sequence[float], best: float | None, limits: tuple[float, float]) -> float | None:
    """The next value outside the range where the best one is its lowest or highest, a step of that end away; None where
    it is neither, or where there is nothing beyond within the limits."""
    if best == values[-1]:
        found = min(normalize_value(2 * values[-1] - values[-2]), limits[1])
    elif best == values[0]:
        found = max(normalize_value(2 * values[0] - values[1]), limits[0])
    else:
        return None
    return None if found in values else found
