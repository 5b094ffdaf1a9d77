"""The passes over the weights that some methods need before they can merge."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import TYPE_CHECKING, Any

from adamms.mapping.plan import MergePlan, Piece, TensorPlan
from adamms.merging.execute import Originals, operands
from adamms.merging.methods import Found, Method
from adamms.merging.recipe import Recipe
from adamms.merging.statistics import NONE, Statistics

if TYPE_CHECKING:
    from torch import Tensor

Part = tuple[TensorPlan, tuple[Piece, ...]]  # the rows of a base tensor that come from one donor tensor
Mapper = Callable[[Callable[[Part], Any], list[Part]], Any]


def measure(plan: MergePlan, originals: Originals, recipe: Recipe, run: Mapper = map) -> Statistics:
    """What the recipe's method has to know beforehand; nothing is read for a method that needs nothing.

    Args:
        run: applies a function to every part and gives the results in order, as `map` does; may do so in parallel.
    """
    rule = recipe.rule
    if not rule.rounds:
        return NONE
    parts = list(parts_of(plan))
    if rule.scope == "tensor":
        found = run(lambda part: _measure_part(part, originals, rule), parts)
        return Statistics(parts={(t.name, pieces[0].donor): one for (t, pieces), one in zip(parts, found, strict=True)})
    sums: list[Tensor] = []
    for _ in range(rule.rounds):
        done = tuple(sums)
        sums.append(_add_up(run(lambda part, done=done: sum_of(part, originals, rule, done), parts)))
    return Statistics(model=rule.conclude(sums))


def parts_of(plan: MergePlan) -> Iterator[Part]:
    """Every part of the plan, in its order."""
    for tensor in plan.tensors:
        by_donor: dict[str, list[Piece]] = {}
        for piece in tensor.pieces if prod(tensor.shape) else ():
            by_donor.setdefault(piece.donor, []).append(piece)
        for pieces in by_donor.values():
            yield tensor, tuple(pieces)


def sum_of(part: Part, originals: Originals, rule: Method, sums: tuple[Tensor, ...]) -> Tensor:
    """One round's sum over one part, chunk by chunk in order."""
    tensor, pieces = part
    return _add_up(rule.measure(x, sums) for x in operands(tensor, pieces, originals, rule))


def _measure_part(part: Part, originals: Originals, rule: Method) -> Found:
    sums: list[Tensor] = []
    for _ in range(rule.rounds):
        sums.append(sum_of(part, originals, rule, tuple(sums)))
    return rule.conclude(sums)


def _add_up(terms: Any) -> Tensor:
    total = None
    for term in terms:
        total = term.clone() if total is None else total.add_(term)
    assert total is not None
    return total
