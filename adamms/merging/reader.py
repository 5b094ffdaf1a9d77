"""A checkpoint read into buffers that are used again and again, and from there onto a device."""

from __future__ import annotations

import os
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adamms.checkpoint import DTYPES, Checkpoint, TensorInfo
from adamms.errors import UserError
from adamms.merging import linux

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_FORGET = 1 << 24  # bytes that are taken out of memory at once
_READ_AHEAD = 1 << 23  # how far the kernel reads ahead, at most
_LOOK_AHEAD = 1 << 26  # how much of a row says whether it was in memory before


class Reader:
    """A `TensorSource` over a checkpoint: what `read` gave holds until the same thread reads again.

    Every thread has its own buffer, open files and (on a GPU) stream, so one reader serves them all; threads overlap
    each other's reading, copying and computing. It can be sent to another process.

    Args:
        last: nobody here reads this again soon, so what comes from the disk need not be kept in memory.
    """

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu", *, last: bool = False) -> None:
        self.checkpoint, self.device, self._last = checkpoint, device, last
        self._own = threading.local()

    def read(self, name: str, start: int = 0, stop: int | None = None) -> Tensor:
        """Elements `start` to `stop` of the flattened tensor, 1-D, in its own dtype."""
        info = self.checkpoint.tensors[name]
        stop = info.elements if stop is None else stop
        if info.offset is None:
            return self.checkpoint.read(name, start, stop).to(self.device)
        from adamms.checkpoint.dtypes import TORCH_DTYPES

        size = DTYPES[info.dtype]
        values = self._buffer((stop - start) * size)
        self._fill(values, self._open(info.path), info, start * size)
        return self._on_device(values.view(TORCH_DTYPES[info.dtype]))

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(Reader, last=self._last), (self.checkpoint, self.device)

    def _buffer(self, size: int) -> torch.Tensor:
        """The first `size` bytes of this thread's buffer: page-locked where it is copied to a GPU from."""
        import torch

        copied: torch.cuda.Event | None = getattr(self._own, "copied", None)
        if copied is not None:
            copied.synchronize()
        buffer: Tensor | None = getattr(self._own, "buffer", None)
        if buffer is None or len(buffer) < size:
            buffer = torch.empty(size, dtype=torch.uint8, pin_memory=self.device.startswith("cuda"))
            self._own.buffer = buffer
        return buffer[:size]

    def _on_device(self, values: Tensor) -> Tensor:
        """A copy on the GPU, under way on this thread's stream; on a CPU the buffer itself."""
        if not self.device.startswith("cuda"):
            return values
        import torch

        moved = values.to(self.device, non_blocking=True)
        self._own.copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._own.copied.record()
        return moved

    def _fill(self, values: Tensor, file: _OpenFile, info: TensorInfo, offset: int) -> None:
        assert info.offset is not None
        view, done = values.numpy().data, 0
        while done < len(view):
            count = file.read(view[done:], info.offset + offset + done)
            if count == 0:
                raise UserError(f"{info.path}: ends within tensor {info.name!r}; download the file again")
            done += count

    def _open(self, path: Path) -> _OpenFile:
        """This thread's open file; only the last one is kept, since tensors are read file by file."""
        opened: _OpenFile | None = getattr(self._own, "opened", None)
        if opened is None or opened.path != path:
            opened = self._own.opened = _OpenFile(path, self._last)
        return opened


class _OpenFile:
    """A file that is read in long rows, one block after the other.

    Args:
        last: what a row brings into memory is taken out again behind it. On data larger than memory that is twice as
            fast. It is done some way behind, since the kernel reads ahead into large pages that go as a whole.
    """

    def __init__(self, path: Path, last: bool) -> None:
        self.path, self._last = path, last
        self._row: int | None = None  # where it began; None if its bytes are to stay in memory
        self._forgotten = self._end = -1
        self._descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)

    def read(self, buffer: memoryview, offset: int) -> int:
        """Reads into a buffer, at least a byte unless the file ends; gives how many."""
        if offset != self._end:
            self._forget(self._end)
            self._begin(offset)
        count = os.preadv(self._descriptor, [buffer], offset)
        self._end = offset + count
        if self._end - self._forgotten > _FORGET + _READ_AHEAD:
            self._forget(self._end - _READ_AHEAD)
        return count

    def _begin(self, offset: int) -> None:
        ahead = min(_LOOK_AHEAD, os.fstat(self._descriptor).st_size - offset)
        stays = not self._last or linux.mostly_cached(self._descriptor, offset, ahead)
        self._row, self._forgotten = None if stays else offset, offset

    def _forget(self, end: int) -> None:
        """From the row's beginning, not from where it last ended: a large page there was still in use then."""
        if self._row is not None and end > self._row:
            linux.forget(self._descriptor, self._row, end - self._row)
        self._forgotten = end

    def __del__(self) -> None:
        self._forget(self._end)
        os.close(self._descriptor)
