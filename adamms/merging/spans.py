"""Units of work: a span is a part of one output file, a stretch is consecutive spans that one thread writes.

Writing a span twice gives the same bytes at the same offset, so a task that was killed can simply be run again.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import isfinite, prod
from pathlib import Path
from typing import TYPE_CHECKING

from adamms.checkpoint import DTYPES, Checkpoint
from adamms.errors import UserError
from adamms.mapping.plan import Piece, TensorPlan
from adamms.merging.execute import CHUNK_ELEMENTS, Originals, merged_blocks
from adamms.merging.layout import OutputTensor, Shard
from adamms.merging.recipe import Recipe
from adamms.merging.statistics import Statistics
from adamms.support import system

if TYPE_CHECKING:
    from torch import Tensor

SPAN_BYTES = 1 << 26  # a span is at most as large, or one row of a tensor
STRETCH_BYTES = 1 << 28  # what a thread takes at a time: disks, and reading ahead, are fastest in long sequences
_NO_COPY_RANGE = {errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


@dataclass(frozen=True, slots=True)
class MergeSpan:
    """Rows of one piece of a tensor (the plan in `output` holds no other piece), which are merged."""

    output: OutputTensor

    @property
    def path(self) -> Path:
        return self.output.path

    @property
    def nbytes(self) -> int:
        tensor = self.output.tensor
        rows = sum(piece.stop - piece.start for piece in tensor.pieces)
        return rows * prod(tensor.shape[1:]) * DTYPES[tensor.dtype]


@dataclass(frozen=True, slots=True)
class CopySpan:
    """Bytes of the base that are copied; they may be of several consecutive tensors."""

    source: Path
    source_offset: int
    path: Path
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class DecodeSpan:
    """Elements of a base tensor that are copied from a file which does not hold them as plain bytes (.bin)."""

    output: OutputTensor
    start: int
    stop: int

    @property
    def path(self) -> Path:
        return self.output.path

    @property
    def nbytes(self) -> int:
        return (self.stop - self.start) * DTYPES[self.output.tensor.dtype]


Span = MergeSpan | CopySpan | DecodeSpan


@dataclass(frozen=True, slots=True)
class Written:
    """What was written for one stretch.

    Attributes:
        not_finite: tensors whose merged values are not finite because the base's own are not.
    """

    path: Path
    nbytes: int
    not_finite: tuple[str, ...]


def stretch_bytes(total: int, workers: int) -> int:
    """How many bytes a stretch should have, so that there are enough of them to keep all workers busy to the end."""
    return max(SPAN_BYTES, min(STRETCH_BYTES, total // (8 * workers)))


def stretches_of(shard: Shard, base: Checkpoint, limit: int, whole_pieces: bool = False) -> list[list[Span]]:
    """All work for one output file, in the file's order, in stretches of at most `limit` bytes or one span.

    Args:
        whole_pieces: do not cut pieces of 1-D tensors, since the method looks at whole rows.
    """
    found: list[list[Span]] = []
    size = limit
    for span in _spans_of(shard, base, whole_pieces):
        if size + span.nbytes > limit:
            found.append([])
            size = 0
        found[-1].append(span)
        size += span.nbytes
    return found


def _spans_of(shard: Shard, base: Checkpoint, whole_pieces: bool) -> list[Span]:
    found: list[Span] = []
    for output in shard.tensors:
        for span in _of_tensor(output, base, whole_pieces):
            last = found[-1] if found else None
            if isinstance(last, CopySpan) and isinstance(span, CopySpan) and _continues(last, span):
                found[-1] = replace(last, nbytes=last.nbytes + span.nbytes)
            else:
                found.append(span)
    return [small for span in found for small in (_cut_copy(span) if isinstance(span, CopySpan) else (span,))]


@dataclass(frozen=True, slots=True)
class Job:
    """What writing any span of a merge needs; each Ray task gets it once.

    Attributes:
        chunk: elements that are computed at once.
    """

    base: Checkpoint
    originals: Originals
    recipe: Recipe
    statistics: Statistics
    chunk: int = CHUNK_ELEMENTS


def write_stretch(stretch: Sequence[Span], job: Job) -> Written:
    """Writes the spans of a stretch into their output file, which exists in its full size.

    Raises:
        UserError: the file cannot be seen from this machine, or merged values are not finite.
    """
    path = stretch[0].path
    try:
        descriptor = os.open(path, os.O_WRONLY)
    except FileNotFoundError:
        raise UserError(
            f"{path.parent}: cannot be seen from this machine; the output, base and donor have to lie on a disk that "
            "all machines share"
        ) from None
    try:
        found = [_write(span, descriptor, job) for span in stretch]
        return Written(path, sum(span.nbytes for span in stretch), tuple(filter(None, found)))
    finally:
        os.close(descriptor)


def _write(span: Span, descriptor: int, job: Job) -> str:
    """Writes one span; returns the tensor's name if its merged values are not finite, else ''."""
    match span:
        case CopySpan():
            _copy(span, descriptor)
        case DecodeSpan():
            tensor = span.output.tensor
            values = job.base.read(tensor.name, span.start, span.stop)
            _pwrite(descriptor, _as_bytes(values), span.output.offset + span.start * DTYPES[tensor.dtype])
        case MergeSpan() if not _merge(span, descriptor, job):
            return span.output.tensor.name
    return ""


def _of_tensor(output: OutputTensor, base: Checkpoint, whole_pieces: bool) -> Iterator[Span]:
    """The spans of one tensor, by rows: what merges, and what is copied before, between and after."""
    tensor, info = output.tensor, base.tensors[output.tensor.name]
    size, row, position = DTYPES[tensor.dtype], info.row_elements, 0
    if info.elements == 0:
        return
    for piece in (*sorted(tensor.pieces, key=lambda piece: piece.start), None):
        start = piece.start if piece else info.rows
        if position < start and info.offset is not None:
            first, length = position * row * size, (start - position) * row * size
            yield CopySpan(info.path, info.offset + first, output.path, output.offset + first, length)
        elif position < start:
            yield DecodeSpan(output, position * row, start * row)
        if piece:
            uncut = whole_pieces and len(tensor.shape) < 2
            rows = piece.stop - piece.start if uncut else max(1, SPAN_BYTES // (row * size))
            for begin in range(piece.start, piece.stop, rows):
                yield MergeSpan(replace(output, tensor=replace(tensor, pieces=(_cut(piece, begin, rows),))))
            position = piece.stop


def _cut(piece: Piece, start: int, rows: int) -> Piece:
    skipped = start - piece.start
    return replace(
        piece,
        start=start,
        stop=min(start + rows, piece.stop),
        donor_start=piece.donor_start + skipped,
        ancestor_start=piece.ancestor_start + (skipped if piece.ancestor else 0),
    )


def _continues(first: CopySpan, second: CopySpan) -> bool:
    return (second.source, second.source_offset, second.path, second.offset) == (
        first.source,
        first.source_offset + first.nbytes,
        first.path,
        first.offset + first.nbytes,
    )


def _cut_copy(span: CopySpan) -> Iterator[CopySpan]:
    for start in range(0, span.nbytes, SPAN_BYTES):
        yield CopySpan(
            span.source,
            span.source_offset + start,
            span.path,
            span.offset + start,
            min(SPAN_BYTES, span.nbytes - start),
        )


def _copy(span: CopySpan, target: int) -> None:
    """Copies inside the kernel (which shares blocks where the file system can), else through a buffer."""
    source = os.open(span.source, os.O_RDONLY)
    done, copy = 0, system.copy_range
    try:
        while done < span.nbytes:
            try:
                count = copy(source, target, span.nbytes - done, span.source_offset + done, span.offset + done)
            except OSError as error:
                if copy is _copy_plain or error.errno not in _NO_COPY_RANGE:
                    raise
                copy = _copy_plain
                continue
            if count == 0:
                raise UserError(f"{span.source}: ends too early; download the file again")
            done += count
        system.start_writeback(target, span.offset, span.nbytes)
    finally:
        os.close(source)


def _copy_plain(source: int, target: int, count: int, source_offset: int, offset: int) -> int:
    data = os.pread(source, min(count, 1 << 20), source_offset)
    _pwrite(target, memoryview(data), offset)
    return len(data)


def _merge(span: MergeSpan, descriptor: int, job: Job) -> bool:
    """Merges and writes one span; returns whether all merged values are finite.

    Raises:
        UserError: a value is not, though the base's own is.
    """
    tensor, offset = span.output.tensor, span.output.offset
    size, row, finite = DTYPES[tensor.dtype], prod(tensor.shape[1:]), True
    for block in merged_blocks(tensor, job.originals, job.recipe, job.statistics, job.chunk):
        values = block.values.cpu()
        if not all(isfinite(end) for end in values.aminmax()):  # NaN comes through
            _check_base(tensor, block.start, values, job)
            finite = False
        _pwrite(descriptor, _as_bytes(values), offset + block.start * size)
    system.start_writeback(descriptor, offset + tensor.pieces[0].start * row * size, span.nbytes)
    return finite


def _check_base(tensor: TensorPlan, start: int, values: Tensor, job: Job) -> None:
    """Raises UserError where a merged value is NaN or infinite and the base's own is finite."""
    values = values.clone()  # the next read may use its memory
    new = ~values.isfinite() & job.base.read(tensor.name, start, start + len(values)).isfinite()
    if new.any():
        first = start + int(new.nonzero()[0])
        what = "NaN" if values[first - start].isnan() else f"too large for {tensor.dtype}"
        donors = " or ".join(sorted({piece.donor for piece in tensor.pieces}))
        raise UserError(
            f"{tensor.name!r}: merged, element {first} is {what}, though the base's is finite; a coefficient is too "
            f"large, or the donor's {donors} (or the ancestor's) is bad there"
        )


def _as_bytes(values: Tensor) -> memoryview:
    import torch

    return memoryview(values.contiguous().view(torch.uint8).numpy().data)


def _pwrite(descriptor: int, data: memoryview, offset: int) -> None:
    done = 0
    while done < len(data):
        done += system.write_once(descriptor, data[done:], offset + done)
