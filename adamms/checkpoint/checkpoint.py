"""A Hugging Face checkpoint folder: its config, its tensors, and reading any part of them."""

import hashlib
import json
import reprlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from adamms.checkpoint import safetensors_file, torch_file
from adamms.checkpoint.digest import full_digest, sampled_digest
from adamms.checkpoint.json_file import read_json
from adamms.checkpoint.safetensors_file import no_duplicates
from adamms.checkpoint.tensor_info import DTYPES, TensorInfo
from adamms.errors import UserError
from adamms.support.files import is_file, is_text
from adamms.support.system import read_into
from adamms.support.tensor import Tensor


@dataclass(frozen=True, slots=True)
class Files:
    """What a folder's config and weights are called.

    Attributes:
        weights: looked for in this order, which is transformers': safetensors before pickled files, the single file
            before an index.
    """

    config: str
    weights: tuple[str, ...]

    def among(self, names: Collection[str]) -> bool:
        """Whether there are such weights among these files."""
        return any(name in names for name in self.weights)


MODEL = Files(
    "config.json",
    ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"),
)
ADAPTER = Files("adapter_config.json", ("adapter_model.safetensors", "adapter_model.bin"))
_RESERVED = ("__metadata__",)


class Checkpoint:
    """A local checkpoint folder; opening it reads headers only.

    Attributes:
        location: what the user named (folder or Hub id with revision).
        folder: where the files are.
        full: whether every byte of the weights counts in `digest`, else samples of every tensor.
        files: what its files are called: `MODEL` or `ADAPTER`.
        config: `config.json`, or an adapter's.
        tensors: every tensor by name, in the order of the files.
        notes: sentences for the user about what was found there.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, folder: Path, location: str | None = None, full: bool = False, files: Files = MODEL) -> None:
        self.folder, self.full, self.files = folder, full, files
        self.location = location or str(folder)
        self.config = read_json(folder / files.config)

    @cached_property
    def tensors(self) -> dict[str, TensorInfo]:
        file = next((self.folder / name for name in self.files.weights if self._has(name)), None)
        if file is None:
            raise UserError(f"{self.folder}: no weights here; expected one of {', '.join(self.files.weights)}")
        found = self._read_shards(file) if file.suffix == ".json" else self.read_header(file)
        odd = [name for name in found if name in _RESERVED or not is_text(name)]
        if odd:
            raise UserError(f"{file}: a tensor is named {odd[0]!r}, which no safetensors file can hold; rename it")
        return found

    @property
    def parts(self) -> tuple["Checkpoint", ...]:
        """The checkpoints that this one is made of: the model, then what is added to it."""
        return (self,)

    @property
    def changed(self) -> frozenset[str]:
        """The tensors that are not what the weights files in `folder` hold."""
        return frozenset()

    @property
    def weight_files(self) -> list[Path]:
        """The files that hold tensors, in order."""
        return list(dict.fromkeys(info.path for info in self.tensors.values()))

    @cached_property
    def digest(self) -> str:
        """Identifies the model on any machine: a hash of its config and its weights (`checkpoint.digest`)."""
        config = json.dumps(self.config, sort_keys=True).encode()
        weights = full_digest(self.weight_files) if self.full else sampled_digest(self.tensors.values())
        return hashlib.sha256(config + weights).hexdigest()[:32]

    def read(self, name: str, start: int = 0, stop: int | None = None) -> Tensor:
        """Elements `start` to `stop` of the flattened tensor, as a 1-D tensor on the CPU in its own dtype."""
        import torch

        from adamms.checkpoint.dtypes import TORCH_DTYPES

        info = self.tensors[name]
        stop = info.elements if stop is None else stop
        if info.offset is None:
            return torch_file.load_mapped(info.path)[name].reshape(-1)[start:stop]
        size = DTYPES[info.dtype]
        values = torch.empty((stop - start) * size, dtype=torch.uint8)
        with info.path.open("rb", buffering=0) as file:  # not mapped, so that it does not count as resident pages
            fill(values, partial(read_into, file.fileno()), info, start * size)
        return values.view(TORCH_DTYPES[info.dtype])

    def _has(self, name: str) -> bool:
        return is_file(self.folder / name)

    def read_header(self, path: Path) -> dict[str, TensorInfo]:
        """Every tensor of one weights file."""
        return safetensors_file.read_header(path) if path.suffix == ".safetensors" else torch_file.read_header(path)

    def _read_shards(self, index: Path) -> dict[str, TensorInfo]:
        weight_map = read_json(index, no_duplicates).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise UserError(f"{index}: has no `weight_map`; download the index again")
        where = {name: self._shard_path(index, shard) for name, shard in weight_map.items()}
        shards = list(dict.fromkeys(where.values()))
        missing = [path.name[:200] for path in shards if not self._has(str(path.relative_to(self.folder)))]
        if missing:
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            raise UserError(
                f"{self.folder}: missing shard {', '.join(missing[:5])}{more} named by {index.name}; download it again"
            )
        tensors: dict[str, TensorInfo] = {}
        for path in shards:
            for name, info in self.read_header(path).items():
                if where.get(name) == path:
                    tensors[name] = info
        lost = sorted(set(weight_map) - set(tensors))
        if lost:
            raise UserError(f"{index}: {len(lost)} tensors are not where it says, first {lost[0]!r}; download it again")
        return tensors

    def _shard_path(self, index: Path, name: Any) -> Path:
        """A shard's file, which may not lie outside the folder (symbolic links of the Hub's cache are followed)."""
        if not isinstance(name, str) or Path(name).is_absolute() or ".." in Path(name).parts:
            raise UserError(
                f"{index}: shard {reprlib.repr(name)} lies outside the folder; do not trust this checkpoint"
            )
        return self.folder / name


def total_bytes(tensors: Iterable[TensorInfo]) -> int:
    """Bytes of data in all the tensors."""
    return sum(info.nbytes for info in tensors)


def fill(values: Tensor, read: Callable[[memoryview, int], int], info: TensorInfo, start: int) -> None:
    """Fills `values` (uint8) with a tensor's bytes from its byte `start` on.

    Args:
        read: reads at least a byte from an offset of the file into a buffer, unless the file ends; returns how many.

    Raises:
        UserError: the file ends too early.
    """
    assert info.offset is not None
    view, done = values.numpy().data, 0
    while done < len(view):
        count = read(view[done:], info.offset + start + done)
        if count == 0:
            raise UserError(f"{info.path}: ends within tensor {info.name!r}; download the file again")
        done += count
