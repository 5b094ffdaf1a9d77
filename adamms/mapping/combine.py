"""One plan of several donors from a plan of each, and back: what of a plan is left without some of its donors."""

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import chain, pairwise

from adamms.addresses import short_name
from adamms.mapping.plan import MergePlan, Piece, Source, TensorPlan, joined


def combine(plans: Sequence[MergePlan]) -> MergePlan:
    """The plan that merges all donors into the base at once; of one plan it is that plan.

    Args:
        plans: each of one donor, of the same base and ancestor.
    """
    first = plans[0]
    if len(plans) == 1:
        return first
    donors = tuple(plan.donors[0] for plan in plans)
    names = [short_name(donor.location) for donor in donors]
    if len(set(names)) < len(names):
        names = [donor.location for donor in donors]
    order = sorted(range(len(plans)), key=lambda index: donors[index].digest)
    return MergePlan(
        base=first.base,
        donors=donors,
        ancestor=first.ancestor,
        tensors=tuple(_combined(one, names, order) for one in zip(*(plan.tensors for plan in plans), strict=True)),
        unused=tuple(plan.unused[0] for plan in plans),
        notes=told_of([plan.notes for plan in plans], names),
        warnings=tuple(chain.from_iterable(plan.warnings for plan in plans)),
    )


def without_others(plan: MergePlan, donors: Collection[int]) -> MergePlan:
    """What is left of a plan where only these of its donors merge: the same as a plan made of them alone, but that
    sources keep their donors' numbers."""

    def left(tensor: TensorPlan) -> TensorPlan:
        kept = ((piece, tuple(one for one in piece.sources if one.donor in donors)) for piece in tensor.pieces)
        return replace(tensor, pieces=joined(replace(piece, sources=sources) for piece, sources in kept if sources))

    return replace(plan, tensors=tuple(map(left, plan.tensors)))


def told_of(told: Sequence[Sequence[str]], names: Sequence[str]) -> tuple[str, ...]:
    """What is told of all donors, once; and what is told of some of them, each with whom it is told of."""
    every = list(dict.fromkeys(chain.from_iterable(told)))
    found = []
    for text in every:
        about = [name for name, own in zip(names, told, strict=True) if text in own]
        found.append(text if len(about) == len(names) else f"{', '.join(about)}: {text}")
    return tuple(found)


def _combined(tensors: Sequence[TensorPlan], names: Sequence[str], order: Sequence[int]) -> TensorPlan:
    """A tensor's plan, cut wherever the pieces of one of the donors begin or end.

    Args:
        tensors: its plan for each donor.
        order: of the donors among a piece's sources.
    """
    reasons = told_of([[tensor.reason] if tensor.reason else [] for tensor in tensors], names)
    return replace(tensors[0], pieces=joined(_pieces(tensors, order)), reason="; ".join(reasons))


def _pieces(tensors: Sequence[TensorPlan], order: Sequence[int]) -> Iterator[Piece]:
    each = [sorted(tensor.pieces, key=lambda piece: piece.start) for tensor in tensors]
    starts = [[piece.start for piece in pieces] for pieces in each]
    cuts = sorted({end for piece in chain.from_iterable(each) for end in (piece.start, piece.stop)})
    for begin, end in pairwise(cuts):
        found = []
        for donor in order:
            place = bisect_right(starts[donor], begin) - 1
            if place >= 0 and begin < each[donor][place].stop:
                found.append((donor, each[donor][place]))
        if found:
            _, one = found[0]
            yield Piece(
                start=begin,
                stop=end,
                sources=tuple(
                    Source(source.tensor, source.start + begin - piece.start, donor)
                    for donor, piece in found
                    for source in piece.sources
                ),
                ancestor=one.ancestor,
                ancestor_start=one.ancestor_start + begin - one.start if one.ancestor else 0,
            )
