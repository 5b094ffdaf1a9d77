"""Gathering statistics: the passes over the weights that some methods need before they can merge."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from math import prod

from adamms.mapping.plan import MergePlan, Origin, Piece, TensorPlan
from adamms.merging.execute import Originals, operands
from adamms.merging.executor import Executor, run_here
from adamms.merging.methods import Method, Statistic
from adamms.merging.recipe import Recipe
from adamms.merging.statistics import NONE, Statistics
from adamms.support.groups import in_groups
from adamms.support.tensor import Tensor

GROUP_ELEMENTS = 1 << 28
Part = tuple[TensorPlan, tuple[Piece, ...]]  # the rows of a base tensor that come from the same tensors


def gather_statistics(
    plan: MergePlan, originals: Originals, recipe: Recipe, execute: Executor = run_here
) -> Statistics:
    """Computes what the recipe's method needs to know before it merges; reads nothing for a method that needs nothing.

    Args:
        execute: where the weights are read and summed up.
    """
    rule, parts = recipe.rule, list(parts_of(plan))
    if not rule.rounds or not parts:
        return NONE
    if rule.scope == "tensor":
        found = execute(partial(statistic_of, originals=originals, rule=rule), _grouped(parts))
        return Statistics(
            parts={(t.name, pieces[0].origin): one for (t, pieces), one in zip(parts, found, strict=True)}
        )
    sums: list[Tensor] = []
    for _ in range(rule.rounds):
        function = partial(sum_of, originals=originals, rule=rule, sums=tuple(sums))
        sums.append(add_up(execute(function, _grouped(parts), _reduced)))
    return Statistics(model=rule.conclude(sums))


def parts_of(plan: MergePlan) -> Iterator[Part]:
    """Every part of the plan, in the plan's order."""
    for tensor in plan.tensors:
        by_origin: dict[Origin, list[Piece]] = {}
        for piece in tensor.pieces if prod(tensor.shape) else ():
            by_origin.setdefault(piece.origin, []).append(piece)
        for pieces in by_origin.values():
            yield tensor, tuple(pieces)


def sum_of(part: Part, originals: Originals, rule: Method, sums: tuple[Tensor, ...]) -> Tensor:
    """One round's sum over one part, chunk by chunk in order; `sums` are those of the rounds before."""
    tensor, pieces = part
    return add_up(rule.measure(x, sums) for x in operands(tensor, pieces, originals, rule)).cpu()


def statistic_of(part: Part, originals: Originals, rule: Method) -> Statistic:
    """What the method needs to know of one part: all rounds over it."""
    sums: list[Tensor] = []
    for _ in range(rule.rounds):
        sums.append(sum_of(part, originals, rule, tuple(sums)))
    return rule.conclude(sums)


def add_up(terms: Iterable[Tensor]) -> Tensor:
    """The sum of at least one tensor, added in the order given."""
    total: Tensor | None = None
    for term in terms:
        total = term.clone() if total is None else total.add_(term)
    assert total is not None, "sums are over at least one chunk"
    return total


def _grouped(parts: Sequence[Part]) -> list[list[Part]]:
    """In groups that are large enough to be worth a task."""
    return in_groups(parts, lambda part: prod(part[0].shape), GROUP_ELEMENTS)


def _reduced(sums: Iterable[Tensor]) -> list[Tensor]:
    """What a task sends back: one total of integer counts, which add up the same in any order; floating-point sums one
    by one, since only the driver can add them in the plan's order."""
    found = list(sums)
    return [add_up(found)] if found and not found[0].is_floating_point() else found
