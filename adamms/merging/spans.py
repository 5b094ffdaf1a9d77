"""Units of work: a span is a part of one output file, a stretch some spans in a row that one thread writes.

Writing a span twice gives the same bytes at the same place, so a task that was killed can simply be run again.
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
from adamms.merging import linux
from adamms.merging.execute import CHUNK_ELEMENTS, Originals, merged_blocks
from adamms.merging.layout import Place, Shard
from adamms.merging.recipe import Recipe
from adamms.merging.statistics import Statistics

if TYPE_CHECKING:
    from torch import Tensor

SPAN_BYTES = 1 << 26  # a tensor is cut into such parts
STRETCH_BYTES = 1 << 28  # what a thread takes at a time: a disk, and its reading ahead, is fastest with long rows
_NO_COPY_RANGE = {errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


@dataclass(frozen=True, slots=True)
class MergeSpan:
    """Some of a tensor's pieces, merged and written to the tensor's place."""

    place: Place

    @property
    def path(self) -> Path:
        return self.place.path

    @property
    def nbytes(self) -> int:
        tensor = self.place.tensor
        rows = sum(piece.stop - piece.start for piece in tensor.pieces)
        return rows * prod(tensor.shape[1:]) * DTYPES[tensor.dtype]


@dataclass(frozen=True, slots=True)
class CopySpan:
    """Bytes of the base that stay as they are; they may be of several tensors in a row."""

    source: Path
    source_offset: int
    path: Path
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class DecodeSpan:
    """Elements of a base tensor that stay as they are, from a file whose bytes are not those of the tensor (.bin)."""

    place: Place
    start: int
    stop: int

    @property
    def path(self) -> Path:
        return self.place.path

    @property
    def nbytes(self) -> int:
        return (self.stop - self.start) * DTYPES[self.place.tensor.dtype]


Span = MergeSpan | CopySpan | DecodeSpan


@dataclass(frozen=True, slots=True)
class Written:
    """What a stretch came to.

    Attributes:
        not_finite: tensors whose merged values are not finite because the base's own are not.
    """

    path: Path
    nbytes: int
    not_finite: tuple[str, ...]


def stretch_bytes(total: int, workers: int) -> int:
    """How long stretches should be: so many that no worker is left alone at the end."""
    return max(SPAN_BYTES, min(STRETCH_BYTES, total // (8 * workers)))


def stretches_of(shard: Shard, base: Checkpoint, limit: int, whole_pieces: bool = False) -> list[list[Span]]:
    """All work for one output file, in its order, in stretches of at most `limit` bytes (or one span).

    Args:
        whole_pieces: pieces of 1-D tensors are not cut (a method looks at all of it at once).
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
    for place in shard.places:
        for span in _of_tensor(place, base, whole_pieces):
            last = found[-1] if found else None
            if isinstance(last, CopySpan) and isinstance(span, CopySpan) and _continues(last, span):
                found[-1] = replace(last, nbytes=last.nbytes + span.nbytes)
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


def write_stretch(stretch: Sequence[Span], job: Job) -> Written:
    """Writes spans of one (preallocated) output file."""
    path = stretch[0].path
    try:
        descriptor = os.open(path, os.O_WRONLY)
    except FileNotFoundError:
        raise UserError(
            f"{path.parent}: not to be seen from here; the output, base and donor have to lie on a disk that all "
            "machines share"
        ) from None
    try:
        found = [_write(span, descriptor, job) for span in stretch]
        return Written(path, sum(span.nbytes for span in stretch), tuple(filter(None, found)))
    finally:
        os.close(descriptor)


def _write(span: Span, descriptor: int, job: Job) -> str:
    """Gives the tensor's name if its merged values are not finite."""
    match span:
        case CopySpan():
            _copy(span, descriptor)
        case DecodeSpan():
            tensor = span.place.tensor
            values = job.base.read(tensor.name, span.start, span.stop)
            _pwrite(descriptor, _as_bytes(values), span.place.offset + span.start * DTYPES[tensor.dtype])
        case MergeSpan() if not _merge(span, descriptor, job):
            return span.place.tensor.name
    return ""


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
    """Inside the kernel (which shares the blocks where the file system can), else through a buffer."""
    source = os.open(span.source, os.O_RDONLY)
    done, copy = 0, _copy_range
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
        linux.start_writeback(target, span.offset, span.nbytes)
    finally:
        os.close(source)


def _copy_range(source: int, target: int, count: int, source_offset: int, offset: int) -> int:
    return os.copy_file_range(source, target, count, source_offset, offset)


def _copy_plain(source: int, target: int, count: int, source_offset: int, offset: int) -> int:
    data = os.pread(source, min(count, 1 << 20), source_offset)
    _pwrite(target, memoryview(data), offset)
    return len(data)


def _merge(span: MergeSpan, descriptor: int, job: Job) -> bool:
    """Gives whether all merged values are finite."""
    tensor, offset = span.place.tensor, span.place.offset
    size, row, finite = DTYPES[tensor.dtype], prod(tensor.shape[1:]), True
    for block in merged_blocks(tensor, job.originals, job.recipe, job.statistics, job.chunk):
        values = block.values.cpu()
        if not all(isfinite(end) for end in values.aminmax()):  # NaN comes through
            _check_base(tensor, block.start, values, job)
            finite = False
        _pwrite(descriptor, _as_bytes(values), offset + block.start * size)
    linux.start_writeback(descriptor, offset + tensor.pieces[0].start * row * size, span.nbytes)
    return finite


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
