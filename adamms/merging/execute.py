"""Executing the plan of a tensor: the same function for files and for live engines, on any device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Protocol

from adamms.errors import UserError
from adamms.mapping.plan import Piece, TensorPlan
from adamms.merging.methods import Method, Operands
from adamms.merging.recipe import Recipe
from adamms.merging.statistics import NONE, Statistics

if TYPE_CHECKING:
    from torch import Tensor

CHUNK_ELEMENTS = 1 << 17  # float32 temporaries of this size stay in a core's cache
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
    donor: TensorSource
    ancestor: TensorSource | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Merged elements `start` to `start + len(values)` of a flattened base tensor."""

    start: int
    values: Tensor


def merged_blocks(
    tensor: TensorPlan,
    originals: Originals,
    recipe: Recipe,
    statistics: Statistics = NONE,
    chunk: int = CHUNK_ELEMENTS,
    block: int = BLOCK_ELEMENTS,
) -> Iterator[Block]:
    """Merges one base tensor, in order, about `block` elements at a time; rows without a piece are left out.

    Arithmetic is float32 and rounded once, to the base's dtype, wherever it runs: so a weight merged inside an
    engine has the same bits as the one written to disk. A block's values are overwritten by the next block.

    Args:
        statistics: what `gather_statistics` returned, for a method that needs it.
        chunk: how many elements are computed at once.
    """
    rule = recipe.rule
    merged: Tensor | None = None
    for piece in tensor.pieces:
        statistic = statistics.of(tensor.name, piece.donor) if rule.rounds else ()
        for whole, parts in _blocks(tensor, piece, originals, rule, chunk, block):
            length = len(whole.stored_base)
            if merged is None or len(merged) < length:
                merged = whole.stored_base.new_empty(length)
            for x in parts:
                first = x.start - whole.start
                merged[first : first + len(x.stored_base)] = rule.merge(x, statistic)
            yield Block(whole.start, merged[:length])


def merged_tensor(tensor: TensorPlan, originals: Originals, recipe: Recipe, statistics: Statistics = NONE) -> Tensor:
    """One whole base tensor after the merge, of the plan's shape and dtype; the base's own where nothing merges."""
    values = originals.base.read(tensor.name).clone()
    chunk = CHUNK_ELEMENTS if values.device.type == "cpu" else GPU_CHUNK_ELEMENTS
    for block in merged_blocks(tensor, originals, recipe, statistics, chunk):
        values[block.start : block.start + len(block.values)] = block.values
    return values.reshape(tensor.shape)


def operands(tensor: TensorPlan, pieces: Iterable[Piece], originals: Originals, rule: Method) -> Iterator[Operands]:
    """The elements of some pieces of a tensor with their counterparts, chunk by chunk."""
    for piece in pieces:
        for _, parts in _blocks(tensor, piece, originals, rule, CHUNK_ELEMENTS, BLOCK_ELEMENTS):
            yield from parts


def _blocks(
    tensor: TensorPlan, piece: Piece, originals: Originals, rule: Method, chunk: int, block: int
) -> Iterator[tuple[Operands, Iterator[Operands]]]:
    """Reads a piece of a tensor with its counterparts; yields each block, and the chunks that it is computed in."""
    if rule.needs_ancestor and (originals.ancestor is None or piece.ancestor is None):
        raise UserError(f"{tensor.name!r} has no counterpart in an ancestor; this method needs one: --ancestor")
    row = prod(tensor.shape[1:])
    length = row if len(tensor.shape) > 1 else piece.stop - piece.start
    step = max(chunk // length, 1) * length if rule.whole_rows and length else chunk
    to_donor, to_ancestor = (piece.donor_start - piece.start) * row, (piece.ancestor_start - piece.start) * row
    size = step * max(block // step, 1)
    for start in range(piece.start * row, piece.stop * row, size):
        stop = min(start + size, piece.stop * row)
        whole = Operands(
            tensor.name,
            start,
            length,
            originals.base.read(tensor.name, start, stop),
            originals.donor.read(piece.donor, start + to_donor, stop + to_donor),
            originals.ancestor.read(piece.ancestor, start + to_ancestor, stop + to_ancestor)
            if rule.needs_ancestor and originals.ancestor is not None and piece.ancestor is not None
            else None,
        )
        yield whole, whole.cut(step)
