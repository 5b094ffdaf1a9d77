"""Units of work: a span is a part of one output file, a stretch is consecutive spans that one thread writes.

Writing a span twice gives the same bytes at the same offset, so a task that was killed can simply be run again.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path

from adamms.checkpoint import DTYPES, Checkpoint
from adamms.errors import UserError
from adamms.mapping.plan import Piece
from adamms.merging.execute import BLOCK_ELEMENTS, Cut, Originals, cuts_of, merge_cut
from adamms.merging.layout import Shard
from adamms.merging.recipe import Recipe
from adamms.merging.statistics import Statistics
from adamms.support import system
from adamms.support.groups import in_groups
from adamms.support.tensor import Tensor

SPAN_BYTES = 1 << 26  # a span is at most as large, or one row of a tensor whose method looks at whole rows
STRETCH_BYTES = 1 << 28  # what a thread takes at a time: disks, and reading ahead, are fastest in long sequences


@dataclass(frozen=True, slots=True)
class MergeSpan:
    """Elements of a tensor that are merged, or copied from a file which does not hold them as plain bytes (.bin)."""

    path: Path
    offset: int
    cut: Cut

    @property
    def nbytes(self) -> int:
        return (self.cut.stop - self.cut.start) * DTYPES[self.cut.tensor.dtype]


@dataclass(frozen=True, slots=True)
class CopySpan:
    """Bytes of the base that are copied; they may be of several consecutive tensors."""

    source: Path
    source_offset: int
    path: Path
    offset: int
    nbytes: int


Span = MergeSpan | CopySpan


@dataclass(frozen=True, slots=True)
class Written:
    """How much was written for one stretch."""

    path: Path
    nbytes: int


def stretch_bytes(total: int, workers: int) -> int:
    """How many bytes a stretch should have, so that there are enough of them to keep all workers busy to the end."""
    return max(SPAN_BYTES, min(STRETCH_BYTES, total // (8 * workers)))


def stretches_of(shard: Shard, base: Checkpoint, recipe: Recipe, limit: int, chunk: int) -> list[list[Span]]:
    """All work for one output file, in the file's order, in stretches of at most `limit` bytes or one span.

    Args:
        chunk: elements that are computed at once.
    """
    return in_groups(_spans_of(shard, base, recipe, chunk), lambda span: span.nbytes, limit)


def _spans_of(shard: Shard, base: Checkpoint, recipe: Recipe, chunk: int) -> list[Span]:
    found: list[Span] = []
    begin = len(shard.header)
    for tensor in shard.tensors:
        info, size = base.tensors[tensor.name], DTYPES[tensor.dtype]
        most = max(1, SPAN_BYTES // size)
        for cut in cuts_of(tensor, recipe, min(chunk, most), min(BLOCK_ELEMENTS, most)):
            span = MergeSpan(shard.path, begin + cut.start * size, cut)
            if cut.piece is not None or info.offset is None:
                found.append(span)
                continue
            copy = CopySpan(info.path, info.offset + cut.start * size, span.path, span.offset, span.nbytes)
            last = found[-1] if found else None
            if isinstance(last, CopySpan) and _continues(last, copy) and last.nbytes + copy.nbytes <= SPAN_BYTES:
                found[-1] = replace(last, nbytes=last.nbytes + copy.nbytes)
            else:
                found.append(copy)
        begin += tensor.nbytes
    return found


def _continues(first: CopySpan, second: CopySpan) -> bool:
    ends = first.source, first.source_offset + first.nbytes, first.offset + first.nbytes
    return ends == (second.source, second.source_offset, second.offset)


@dataclass(frozen=True, slots=True)
class Job:
    """What writing any span of a merge needs; each Ray task gets it once.

    Attributes:
        device: the originals are on it, and the merge is computed there.
    """

    base: Checkpoint
    originals: Originals
    recipe: Recipe
    statistics: Statistics
    device: str = "cpu"


def write_stretch(stretch: Sequence[Span], job: Job) -> Written:
    """Writes the spans of a stretch into their output file, which exists in its full size.

    Raises:
        UserError: merged values are not finite.
    """
    path = stretch[0].path
    descriptor = os.open(path, os.O_WRONLY)
    try:
        for span in stretch:
            if isinstance(span, CopySpan):
                _copy(span, descriptor)
            else:
                _merge(span, descriptor, job)
        size = sum(span.nbytes for span in stretch)
        system.start_writeback(descriptor, stretch[0].offset, size)
        return Written(path, size)
    finally:
        os.close(descriptor)


def _copy(span: CopySpan, target: int) -> None:
    source = os.open(span.source, os.O_RDONLY)
    done = 0
    try:
        while done < span.nbytes:
            count = system.copy_range(source, target, span.nbytes - done, span.source_offset + done, span.offset + done)
            if count == 0:
                raise UserError(f"{span.source}: ends too early; download the file again")
            done += count
    finally:
        os.close(source)


def _merge(span: MergeSpan, descriptor: int, job: Job) -> None:
    """Merges and writes one span.

    Raises:
        UserError: a merged value is not finite.
    """
    import torch

    from adamms.checkpoint.dtypes import TORCH_DTYPES

    cut = span.cut
    if cut.piece is None:
        values = job.base.read(cut.tensor.name, cut.start, cut.stop)
    else:
        merged = torch.empty(cut.stop - cut.start, dtype=TORCH_DTYPES[cut.tensor.dtype], device=job.device)
        merge_cut(cut, job.originals, job.recipe, job.statistics, merged)
        values = merged.cpu()
        if not all(isfinite(end) for end in values.aminmax()):  # NaN comes through
            raise _not_finite(cut, cut.piece, values, job)
    data, done = memoryview(values.contiguous().view(torch.uint8).numpy().data), 0
    while done < len(data):
        done += system.write_once(descriptor, data[done:], span.offset + done)


def _not_finite(cut: Cut, piece: Piece, values: Tensor, job: Job) -> UserError:
    """Says which merged value is NaN or infinite, and which of the models is to blame."""
    tensor = cut.tensor
    first = int((~values.isfinite()).nonzero()[0])
    what = "NaN" if values[first].isnan() else f"too large for {tensor.dtype}"
    where = f"{tensor.name!r}: merged, element {cut.start + first} is {what}"
    if not job.base.read(tensor.name, cut.start + first, cut.start + first + 1).isfinite():
        return UserError(f"{where}, as it is not finite in the base {job.base.location}; download that model again")
    return UserError(
        f"{where}, though the base's is finite; a coefficient is too large, or the donor's "
        f"{' or '.join(str(source.tensor) for source in piece.sources)} (or the ancestor's) is bad there"
    )
