"""The one function that executes a tensor's plan: for files and for live engines, on any device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Protocol

from adamms.mapping.plan import TensorPlan
from adamms.merging.methods import METHODS
from adamms.merging.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor

CHUNK_ELEMENTS = 1 << 20  # a few of these are all the memory a worker needs


class TensorSource(Protocol):
    """Where a model's original weights come from: a `Checkpoint`, or copies held on a device."""

    def read(self, name: str, start: int = 0, stop: int | None = None) -> Tensor:
        """Elements `start` to `stop` of the flattened tensor, 1-D, in its own dtype."""
        ...


@dataclass(frozen=True, slots=True)
class Chunk:
    """Merged elements `start` to `start + len(values)` of a flattened base tensor."""

    start: int
    values: Tensor


def merged_chunks(
    tensor: TensorPlan, base: TensorSource, donor: TensorSource, recipe: Recipe, chunk: int = CHUNK_ELEMENTS
) -> Iterator[Chunk]:
    """What changes in one base tensor, in order, `chunk` elements at a time; rows without a piece are not given.

    Arithmetic is float32 and rounded once, to the base's dtype, wherever it runs: so a weight merged inside an
    engine has the same bits as the one written to disk.
    """
    merge = METHODS[recipe.method]
    row = prod(tensor.shape[1:])
    for piece in tensor.pieces:
        offset = (piece.donor_start - piece.start) * row
        for start in range(piece.start * row, piece.stop * row, chunk):
            stop = min(start + chunk, piece.stop * row)
            ours = base.read(tensor.name, start, stop)
            theirs = donor.read(piece.donor, start + offset, stop + offset)
            yield Chunk(start, merge(ours.float(), theirs.float(), recipe.alpha).to(ours.dtype))


def merged_tensor(tensor: TensorPlan, base: TensorSource, donor: TensorSource, recipe: Recipe) -> Tensor:
    """One whole base tensor after the merge, of the plan's shape and dtype; the base's own where nothing merges."""
    values = base.read(tensor.name).clone()
    for chunk in merged_chunks(tensor, base, donor, recipe):
        values[chunk.start : chunk.start + len(chunk.values)] = chunk.values
    return values.reshape(tensor.shape)
