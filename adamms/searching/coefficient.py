"""The candidates of a search: the values that are tried, and the finer ones between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from adamms.errors import UserError
from adamms.merging.groups import is_group
from adamms.merging.recipe import Recipe, coefficients_of
from adamms.runs.responses import format_alpha, normalize_alpha


@dataclass(frozen=True)
class Line:
    """The recipes of all candidates: one recipe of which one coefficient varies, alpha unless another is named.

    Wherever a candidate is called by its alpha (files, tables, the dashboard), that is the value of this coefficient.
    """

    recipe: Recipe
    coefficient: str = "alpha"

    @classmethod
    def searched(cls, recipe: Recipe, coefficient: str) -> Line:
        """A line whose candidates differ.

        Raises:
            UserError: the method has no such coefficient, or it is no number.
        """
        numbers = [name for name in coefficients_of(recipe.method) if _is_number(getattr(recipe.rule, name))]
        known = ["alpha", *numbers] if recipe.rule.uses_alpha else numbers
        if coefficient not in known and not (is_group(coefficient) and recipe.rule.uses_alpha):
            has = f"has {', '.join(known)}" if known else "has none to search"
            raise UserError(f"searching.coefficient={coefficient}: {recipe.method} {has}")
        return cls(recipe, coefficient)

    def at(self, value: float) -> Recipe:
        """The candidate of this value."""
        return self.recipe.at(value, self.coefficient)

    def fixed(self) -> dict[str, object]:
        """What all candidates have in common."""
        found = {name: value for name, value in self.recipe.to_dict().items() if name != self.coefficient}
        if is_group(self.coefficient):
            others = {name: rule.alpha for name, rule in self.recipe.groups if name != self.coefficient}
            found |= {"groups": others, "searched": self.coefficient}
        return found


def check_alphas(alphas: Sequence[float], line: Line | None = None, least: int = 3) -> list[float]:
    """The candidates in ascending order, each once.

    Args:
        line: the recipes they stand for, which know what values they may have; by default alphas from 0 to 1.

    Raises:
        UserError: a value out of range, or too few to have an interior candidate.
    """
    if line is None or line.coefficient == "alpha" or is_group(line.coefficient):
        outside = [alpha for alpha in alphas if not (math.isfinite(alpha) and 0 <= alpha <= 1)]
        if outside:
            raise UserError(f"searching.alphas: {outside} outside [0, 1]; alpha weighs the donor, 0 is all base")
    found = sorted({normalize_alpha(alpha) for alpha in alphas})
    if len(found) < least:
        raise UserError(
            f"searching.alphas: {found} are too few; a candidate is judged against both neighbours, "
            f"so give {least} or more"
        )
    for value in found:
        if line is not None:
            line.at(value)
    return found


def check_refine(alphas: Sequence[float], steps: Sequence[float]) -> list[float]:
    """The steps of the finer rounds.

    Raises:
        UserError: one is not smaller than what goes before it.
    """
    before = min(b - a for a, b in pairwise(alphas))
    for step in steps:
        if not 0 < step < before + 1e-9 or math.isclose(step, before):
            raise UserError(
                f"searching.refine: {list(steps)}: {step:g} is no finer step; the one before is {format_alpha(before)}"
            )
        before = step
    return list(steps)


def finer(alphas: Sequence[float], best: float, step: float) -> list[float]:
    """Candidates in steps around the best one, as far as its neighbours among `alphas` on both sides."""
    place = list(alphas).index(best)
    low, high = alphas[max(place - 1, 0)], alphas[min(place + 1, len(alphas) - 1)]
    down, up = math.floor((best - low) / step + 1e-6), math.floor((high - best) / step + 1e-6)
    return [normalize_alpha(best + count * step) for count in range(-down, up + 1)]


def _is_number(value: object) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool)
