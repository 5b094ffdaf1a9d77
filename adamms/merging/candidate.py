"""One candidate of a search."""

from dataclasses import dataclass, fields
from itertools import chain
from typing import Self

from adamms.merging.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Candidate:
    """A recipe, called by the value of the coefficient that is searched (alpha, or density, ...).

    Candidates are ordered by that value; two are equal only where their recipes are, too.
    """

    value: float
    recipe: Recipe

    def distance(self, other: Self) -> float:
        """How far apart two candidates are: of one method, the sum of the differences between all their numbers."""
        if self.recipe.method != other.recipe.method or len(self._numbers) != len(other._numbers):
            return abs(self.value - other.value)
        return sum(abs(a - b) for a, b in zip(self._numbers, other._numbers, strict=True))

    @property
    def _numbers(self) -> list[float]:
        """All numbers of the recipe, the weight of every donor among them."""
        named = {field.name: getattr(self.recipe.rule, field.name) for field in fields(self.recipe.rule)}
        given = chain.from_iterable(value if isinstance(value, tuple) else (value,) for value in named.values())
        return [value for value in given if isinstance(value, int | float)]

    def __lt__(self, other: Self) -> bool:
        return self.value < other.value
