"""Units of work: a span is a part of one output file that one thread writes, at a fixed place.

Writing a span twice gives the same bytes at the same place, so a task that was killed can simply be run again.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import isfinite, prod
from pathlib import Path
from typing import TYPE_CHECKING

from adamms.checkpoint import DTYPES, Checkpoint
from adamms.errors import UserError
from adamms.mapping.plan import Piece, TensorPlan
from adamms.merging import linux
from adamms.merging.execute import CHUNK_ELEMENTS, Originals, merged_blocks
from adamms.merging.layout import Place, Shard
from adamms.merging.recipe import Recipe
from adamms.merging.statistics import Statistics

if TYPE_CHECKING:
    from torch import Tensor

SPAN_BYTES = 1 << 26  # enough to be worth handing out, little enough that no thread is left alone with a big tensor
_NO_COPY_RANGE = {errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


@dataclass(frozen=True, slots=True)
class MergeSpan:
    """Some of a tensor's pieces, merged and written to the tensor's place."""

    place: Place

    @property
    def path(self) -> Path:
        return self.place.path


@dataclass(frozen=True, slots=True)
class CopySpan:
    """Bytes of the base that stay as they are; they may be of several tensors in a row."""

    source: Path
    source_offset: int
    path: Path
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class DecodeSpan:
    """Elements of a base tensor that stay as they are, from a file whose bytes are not those of the tensor (.bin)."""

    place: Place
    start: int
    stop: int

    @property
    def path(self) -> Path:
        return self.place.path


Span = MergeSpan | CopySpan | DecodeSpan


@dataclass(frozen=True, slots=True)
class Written:
    """What a span came to.

    Attributes:
        not_finite: the tensor, where its merged values are not finite because the base's own are not.
    """

    path: Path
    nbytes: int
    not_finite: str = ""


def spans_of(shard: Shard, base: Checkpoint, whole_pieces: bool = False) -> list[Span]:
    """All work for one output file, in its order.

    Args:
        whole_pieces: pieces of 1-D tensors are not cut (a method looks at all of it at once).
    """
    found: list[Span] = []
    for place in shard.places:
        for span in _of_tensor(place, base, whole_pieces):
            last = found[-1] if found else None
            if isinstance(last, CopySpan) and isinstance(span, CopySpan) and _continues(last, span):
                found[-1] = replace(last, length=last.length + span.length)
            else:
                found.append(span)
    return [small for span in found for small in (_cut_copy(span) if isinstance(span, CopySpan) else (span,))]


@dataclass(frozen=True, slots=True)
class Job:
    """What every span of a merge needs; sent to each Ray task once."""

    base: Checkpoint
    originals: Originals
    recipe: Recipe
    statistics: Statistics
    chunk: int = CHUNK_ELEMENTS


def write_span(span: Span, job: Job) -> Written:
    """Writes one span into its (preallocated) output file."""
    try:
        descriptor = os.open(span.path, os.O_WRONLY)
    except FileNotFoundError:
        raise UserError(
            f"{span.path.parent}: not to be seen from here; the output, base and donor have to lie on a disk that all "
            "machines share"
        ) from None
    try:
        match span:
            case CopySpan():
                _copy(span, descriptor)
                return Written(span.path, span.length)
            case DecodeSpan():
                size = DTYPES[span.place.tensor.dtype]
                values = job.base.read(span.place.tensor.name, span.start, span.stop)
                _pwrite(descriptor, _as_bytes(values), span.place.offset + span.start * size)
                return Written(span.path, len(values) * size)
            case MergeSpan():
                return _merge(span, descriptor, job)
    finally:
        os.close(descriptor)


def _of_tensor(place: Place, base: Checkpoint, whole_pieces: bool) -> Iterator[Span]:
    tensor, info = place.tensor, base.tensors[place.tensor.name]
    size, row, position = DTYPES[tensor.dtype], info.row_elements, 0
    if info.elements == 0:
        return
    for piece in (*sorted(tensor.pieces, key=lambda piece: piece.start), None):
        start = piece.start if piece else info.rows
        if position < start and info.offset is not None:
            first, length = position * row * size, (start - position) * row * size
            yield CopySpan(info.path, info.offset + first, place.path, place.offset + first, length)
        elif position < start:
            yield DecodeSpan(place, position * row, start * row)
        if piece:
            uncut = whole_pieces and len(tensor.shape) < 2
            rows = piece.stop - piece.start if uncut else max(1, SPAN_BYTES // (row * size))
            for begin in range(piece.start, piece.stop, rows):
                yield MergeSpan(replace(place, tensor=replace(tensor, pieces=(_cut(piece, begin, rows),))))
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
        first.source_offset + first.length,
        first.path,
        first.offset + first.length,
    )


def _cut_copy(span: CopySpan) -> Iterator[CopySpan]:
    for start in range(0, span.length, SPAN_BYTES):
        yield CopySpan(
            span.source,
            span.source_offset + start,
            span.path,
            span.offset + start,
            min(SPAN_BYTES, span.length - start),
        )


def _copy(span: CopySpan, target: int) -> None:
    """Inside the kernel (which shares the blocks where the file system can), else through a buffer."""
    source = os.open(span.source, os.O_RDONLY)
    done, copy = 0, _copy_range
    try:
        while done < span.length:
            try:
                count = copy(source, target, span.length - done, span.source_offset + done, span.offset + done)
            except OSError as error:
                if copy is _copy_plain or error.errno not in _NO_COPY_RANGE:
                    raise
                copy = _copy_plain
                continue
            if count == 0:
                raise UserError(f"{span.source}: ends too early; download the file again")
            done += count
        linux.start_writeback(target, span.offset, span.length)
    finally:
        os.close(source)


def _copy_range(source: int, target: int, count: int, source_offset: int, offset: int) -> int:
    return os.copy_file_range(source, target, count, source_offset, offset)


def _copy_plain(source: int, target: int, count: int, source_offset: int, offset: int) -> int:
    data = os.pread(source, min(count, 1 << 20), source_offset)
    _pwrite(target, memoryview(data), offset)
    return len(data)


def _merge(span: MergeSpan, descriptor: int, job: Job) -> Written:
    tensor, offset = span.place.tensor, span.place.offset
    size, row, not_finite = DTYPES[tensor.dtype], prod(tensor.shape[1:]), ""
    first, last = tensor.pieces[0].start * row, tensor.pieces[-1].stop * row
    for block in merged_blocks(tensor, job.originals, job.recipe, job.statistics, job.chunk):
        values = block.values.cpu()
        if not all(isfinite(end) for end in values.aminmax()):  # NaN comes through
            _check_base(tensor, block.start, values, job)
            not_finite = tensor.name
        _pwrite(descriptor, _as_bytes(values), offset + block.start * size)
    linux.start_writeback(descriptor, offset + first * size, (last - first) * size)
    return Written(span.path, (last - first) * size, not_finite)


def _check_base(tensor: TensorPlan, start: int, values: Tensor, job: Job) -> None:
    """A merged value may be NaN or infinite only where the base's own is."""
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
        done += linux.write_once(descriptor, data[done:], offset + done)
