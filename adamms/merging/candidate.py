"""One candidate of a search."""

from dataclasses import dataclass
from typing import Self

from adamms.merging.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Candidate:
    """A recipe, called by the value of the coefficient that is searched (alpha, or density, ...).

    Candidates are ordered by that value; two are equal only where their recipes are, too.
    """

    value: float
    recipe: Recipe

    def __lt__(self, other: Self) -> bool:
        return self.value < other.value
