"""A checkpoint whose weights are not downloaded."""

import hashlib
import json
from functools import cached_property
from pathlib import Path

from adamms.checkpoint.checkpoint import MODEL, Checkpoint, Files
from adamms.checkpoint.digest import header_digest
from adamms.checkpoint.remote_files import RemoteFiles
from adamms.checkpoint.safetensors_file import parse_header
from adamms.checkpoint.tensor_info import DTYPES, TensorInfo
from adamms.support.tensor import Tensor

HEAD_BYTES = 1 << 17  # nearly every header is smaller: one request a file


class RemoteCheckpoint(Checkpoint):
    """Fetches headers and byte ranges when they are read: enough for planning, slow for merging."""

    def __init__(self, remote: RemoteFiles, location: str, files: Files = MODEL) -> None:
        super().__init__(remote.folder, location, files=files)
        self.remote = remote

    @cached_property
    def digest(self) -> str:
        """A hash of config and headers, so that no weights are fetched; it differs from a local copy's."""
        config = json.dumps(self.config, sort_keys=True).encode()
        return hashlib.sha256(config + header_digest(self.tensors.values())).hexdigest()[:32]

    def read(self, name: str, start: int = 0, stop: int | None = None) -> Tensor:
        import torch

        from adamms.checkpoint.dtypes import TORCH_DTYPES

        info = self.tensors[name]
        if info.offset is None:
            return super().read(name, start, stop)
        size = DTYPES[info.dtype]
        stop = info.elements if stop is None else stop
        data = self.remote.read(info.path.name, info.offset + start * size, info.offset + stop * size)
        return torch.frombuffer(bytearray(data), dtype=TORCH_DTYPES[info.dtype])

    def _has(self, name: str) -> bool:
        return name in self.remote.sizes

    def read_header(self, path: Path) -> dict[str, TensorInfo]:
        """Reads the header of a safetensors file; a pickled file has none, so it is fetched whole."""
        if path.suffix != ".safetensors":
            return super().read_header(self.remote.fetch(path.name))
        size = self.remote.sizes[path.name]
        head = self.remote.read(path.name, 0, min(size, HEAD_BYTES))

        def read(start: int, stop: int) -> bytes:
            return head[start:stop] if stop <= len(head) else self.remote.read(path.name, start, stop)

        return parse_header(path, size, read)
