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
        self._fill(values, self._descriptor(info.path), info, start * size)
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

    def _fill(self, values: Tensor, descriptor: int, info: TensorInfo, offset: int) -> None:
        assert info.offset is not None
        view, done = values.numpy().data, 0
        read = linux.read_once if self._last else linux.read
        while done < len(view):
            count = read(descriptor, view[done:], info.offset + offset + done)
            if count == 0:
                raise UserError(f"{info.path}: ends within tensor {info.name!r}; download the file again")
            done += count

    def _descriptor(self, path: Path) -> int:
        """This thread's open file; only the last one is kept, since tensors are read file by file."""
        opened: _OpenFile | None = getattr(self._own, "opened", None)
        if opened is None or opened.path != path:
            opened = self._own.opened = _OpenFile(path)
        return opened.descriptor


class _OpenFile:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(self.descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)

    def __del__(self) -> None:
        os.close(self.descriptor)
