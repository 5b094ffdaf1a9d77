"""One candidate of a search."""

from __future__ import annotations

from dataclasses import dataclass

from adamms.merging.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Candidate:
    """A recipe, called by the value of the coefficient that is searched (alpha, or density, ...).

    Candidates are ordered by that value; two are equal only where their recipes are, too.
    """

    value: float
    recipe: Recipe

    def __lt__(self, other: Candidate) -> bool:
        return self.value < other.value
