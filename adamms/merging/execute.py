"""Executing the plan of a tensor: the same functions for files and for live engines, on any device."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Protocol, Self

from adamms.errors import UserError
from adamms.mapping.plan import MergePlan, Piece, TensorPlan
from adamms.mapping.rows import read_elements
from adamms.merging.methods import Method, Operands
from adamms.merging.methods.method import DONOR
from adamms.merging.recipe import Recipe
from adamms.merging.statistics import Statistics
from adamms.support.tensor import Tensor

CHUNK_ELEMENTS = 1 << 18  # float32 temporaries stay in a core's cache; with fewer, threads wait for Python's lock
GPU_CHUNK_ELEMENTS = 1 << 24
BLOCK_ELEMENTS = 1 << 21  # read and written at once: large enough for a disk's full speed


class TensorSource(Protocol):
    """Where a model's original weights come from: a `Checkpoint`, or copies held on a device."""

    def read(self, name: str, start: int = 0, stop: int | None = None) -> Tensor:
        """Elements `start` to `stop` of the flattened tensor, 1-D, in its own dtype."""
        ...


@dataclass(frozen=True, slots=True)
class Originals:
    """The weights of the models that a plan was made of; all on one device."""

    base: TensorSource
    donors: tuple[TensorSource, ...]
    ancestor: TensorSource | None = None
    digests: tuple[str, ...] = ()
    """Of the donors, where there are several: what is drawn at random for one depends on it."""

    @classmethod
    def of(cls, plan: MergePlan, sources: Sequence[TensorSource]) -> Self:
        """Sources of the plan's models, in the order base, donors, ancestor (if there is one)."""
        base, *rest = sources
        count = len(plan.donors)
        ancestor = rest[count] if len(rest) > count else None
        return cls(base, tuple(rest[:count]), ancestor, tuple(donor.digest for donor in plan.donors))


@dataclass(frozen=True, slots=True)
class Cut:
    """Elements `start` to `stop` of a flattened base tensor, read at once and computed `step` at a time.

    Attributes:
        piece: which part of the plan they belong to; None for rows that stay the base's own.
    """

    tensor: TensorPlan
    piece: Piece | None
    start: int
    stop: int
    step: int


def cuts_of(tensor: TensorPlan, recipe: Recipe, chunk: int, block: int) -> list[Cut]:
    """All elements of a base tensor, those that stay the base's included, in parts that can be merged in any order.

    Args:
        chunk: how many elements are computed at once.
        block: how many are read at once, about: the size of a cut.
    """
    found, rule, position = [], recipe.rule, 0
    row = tensor.row
    for piece in sorted(tensor.pieces, key=lambda piece: piece.start):
        found += _kept(tensor, position, piece.start * row, block)
        found += _cuts(tensor, (piece,), rule, chunk, block)
        position = piece.stop * row
    return [*found, *_kept(tensor, position, prod(tensor.shape), block)]


def merge_cut(cut: Cut, originals: Originals, recipe: Recipe, statistics: Statistics, target: Tensor) -> None:
    """Writes the merged elements of a cut to `target`, of its length and in the base's dtype.

    Arithmetic is float32 and rounded once, to the base's dtype, wherever it runs: so a weight merged inside an engine
    has the same bits as the one written to disk.

    Args:
        statistics: what `gather_statistics` returned, for a method that needs it.
    """
    if cut.piece is None:
        target.copy_(originals.base.read(cut.tensor.name, cut.start, cut.stop))
        return
    rule = recipe.rule
    found = statistics.of(cut.tensor.name, cut.piece) if rule.rounds else ()
    for x in _read(cut, originals, rule).cut(cut.step):
        part = target[x.start - cut.start :][: len(x.stored_base)]
        part.copy_(rule.merge(x, found))


def operands(tensor: TensorPlan, pieces: Iterable[Piece], originals: Originals, rule: Method) -> Iterator[Operands]:
    """The elements of some pieces of a tensor with their counterparts, chunk by chunk."""
    for cut in _cuts(tensor, pieces, rule, CHUNK_ELEMENTS, BLOCK_ELEMENTS):
        yield from _read(cut, originals, rule).cut(cut.step)


def _cuts(tensor: TensorPlan, pieces: Iterable[Piece], rule: Method, chunk: int, block: int) -> Iterator[Cut]:
    row = tensor.row
    for piece in pieces:
        length = _row_length(tensor, piece)
        step = max(chunk // length, 1) * length if rule.whole_rows and length else chunk
        size = step * max(block // step, 1)
        for start in range(piece.start * row, piece.stop * row, size):
            yield Cut(tensor, piece, start, min(start + size, piece.stop * row), step)


def _kept(tensor: TensorPlan, start: int, stop: int, block: int) -> list[Cut]:
    return [Cut(tensor, None, first, min(first + block, stop), block) for first in range(start, stop, block)]


def _row_length(tensor: TensorPlan, piece: Piece) -> int:
    """Elements in a row; a vector is one row."""
    return tensor.row if len(tensor.shape) > 1 else piece.stop - piece.start


def _read(cut: Cut, originals: Originals, rule: Method) -> Operands:
    """The elements of a cut with their counterparts."""
    tensor, piece = cut.tensor, cut.piece
    assert piece is not None
    row, ancestor = tensor.row, None
    to_ancestor = (piece.ancestor_start - piece.start) * row
    if rule.needs_ancestor:
        if originals.ancestor is None or piece.ancestor is None:
            raise UserError(f"{tensor.name!r} has no counterpart in an ancestor; this method needs one: --ancestor")
        first, last = cut.start + to_ancestor, cut.stop + to_ancestor
        ancestor = read_elements(originals.ancestor.read, piece.ancestor, first, last)
    base = originals.base.read(tensor.name, cut.start, cut.stop)
    found = []
    for source in piece.sources:
        to_donor = (source.start - piece.start) * row
        read = originals.donors[source.donor].read
        found.append(read_elements(read, source.tensor, cut.start + to_donor, cut.stop + to_donor))
    donors = tuple(source.donor for source in piece.sources)
    return Operands(
        name=tensor.name,
        start=cut.start,
        row=_row_length(tensor, piece),
        stored_base=base,
        stored_donors=tuple(found),
        stored_ancestor=ancestor,
        donors=donors,
        count=len(originals.donors),
        keys=tuple(f"{DONOR} {originals.digests[donor]}" for donor in donors) if len(donors) > 1 else (DONOR,),
    )
