"""Reading a checkpoint's tensors through reused buffers, onto any device."""

from __future__ import annotations

import os
import threading
from functools import partial
from pathlib import Path
from typing import Any

from adamms.checkpoint import DTYPES, Checkpoint
from adamms.checkpoint.checkpoint import fill
from adamms.support import system
from adamms.support.tensor import Tensor

_DROP_BYTES = 1 << 24  # this much of a file is dropped from the page cache at once
_READ_AHEAD = 1 << 23  # how far the kernel reads ahead, at most
_PROBE_BYTES = 1 << 26  # this much of what will be read tells whether the file was in the page cache before


class Reader:
    """A `TensorSource` over a checkpoint; a tensor that `read` returned is valid until the same thread reads again.

    Every thread has its own buffer, open file and (on a GPU) stream, so many threads can share one reader and overlap
    their reading, copying and computing. A reader can be pickled.

    Args:
        last: this process will not read the weights again soon, so the pages that it brings into the page cache are
            dropped from there; pages that were there before stay.
    """

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu", *, last: bool = False) -> None:
        self.checkpoint, self.device, self._last = checkpoint, device, last
        self._own = threading.local()

    def read(self, name: str, start: int = 0, stop: int | None = None) -> Tensor:
        """Elements `start` to `stop` of the flattened tensor, 1-D, in its own dtype, on the reader's device."""
        info = self.checkpoint.tensors[name]
        stop = info.elements if stop is None else stop
        if info.offset is None:
            return self.checkpoint.read(name, start, stop).to(self.device)
        from adamms.checkpoint.dtypes import TORCH_DTYPES

        size = DTYPES[info.dtype]
        values = self._buffer((stop - start) * size)
        fill(values, self._open(info.path).read, info, start * size)
        return self._on_device(values.view(TORCH_DTYPES[info.dtype]))

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(Reader, last=self._last), (self.checkpoint, self.device)

    def _buffer(self, size: int) -> Tensor:
        """The first `size` bytes of this thread's buffer, uint8; page-locked if they are to be copied to a GPU."""
        import torch

        copied: Any = getattr(self._own, "copied", None)  # a torch.cuda.Event
        if copied is not None:
            copied.synchronize()
        buffer: Tensor | None = getattr(self._own, "buffer", None)
        if buffer is None or len(buffer) < size:
            buffer = torch.empty(size, dtype=torch.uint8, pin_memory=self.device.startswith("cuda"))
            self._own.buffer = buffer
        return buffer[:size]

    def _on_device(self, values: Tensor) -> Tensor:
        """On a GPU a copy, which this thread's stream still may have to make; on a CPU the buffer itself."""
        if not self.device.startswith("cuda"):
            return values
        import torch

        moved = values.to(self.device, non_blocking=True)
        self._own.copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._own.copied.record()
        return moved

    def _open(self, path: Path) -> _OpenFile:
        """This thread's open file; only the latest stays open, since tensors are read file by file."""
        opened: _OpenFile | None = getattr(self._own, "opened", None)
        if opened is None or opened.path != path:
            opened = self._own.opened = _OpenFile(path, os.open(path, os.O_RDONLY), self._last)
        return opened


class _OpenFile:
    """A file that is read mostly in sequence: each read begins where the one before ended, until one jumps elsewhere.

    Args:
        descriptor: of the open file, which is closed with this object.
        last: drop the pages of a sequence from the page cache after they were read, unless they were there before it
            began. On data larger than memory that reads twice as fast. Pages are dropped some distance behind the
            reading: the kernel reads ahead into large pages, and drops a large page only as a whole.
    """

    def __init__(self, path: Path, descriptor: int, last: bool) -> None:
        self.path, self._descriptor, self._last = path, descriptor, last
        self._begin: int | None = None  # where the sequence began; None if its pages stay in the page cache
        self._dropped = self._end = -1
        system.expect_sequential(self._descriptor)

    def read(self, buffer: memoryview, offset: int) -> int:
        """Reads at least a byte into a buffer, unless the file ends; returns how many."""
        if offset != self._end:
            self._drop_until(self._end)
            self._begin_sequence(offset)
        count = system.read_into(self._descriptor, buffer, offset)
        self._end = offset + count
        if self._end - self._dropped > _DROP_BYTES + _READ_AHEAD:
            self._drop_until(self._end - _READ_AHEAD)
        return count

    def _begin_sequence(self, offset: int) -> None:
        ahead = min(_PROBE_BYTES, os.fstat(self._descriptor).st_size - offset)
        stays = not self._last or system.mostly_cached(self._descriptor, offset, ahead)
        self._begin, self._dropped = None if stays else offset, offset

    def _drop_until(self, end: int) -> None:
        """From the beginning, not from where the last drop ended: a large page there was still in use then."""
        if self._begin is not None and end > self._begin:
            system.drop_from_cache(self._descriptor, self._begin, end - self._begin)
        self._dropped = end

    def __del__(self) -> None:
        self._drop_until(self._end)
        os.close(self._descriptor)
