"""One candidate of a search: a value of the coefficient that is searched, and the recipe that it stands for."""

from __future__ import annotations

from dataclasses import dataclass

from adamms.merging.recipe import Recipe


@dataclass(frozen=True)
class Candidate:
    """Sorted by value; equal where value and recipe are."""

    value: float
    recipe: Recipe

    def __lt__(self, other: Candidate) -> bool:
        return self.value < other.value
