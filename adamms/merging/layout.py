"""The layout of the output: which file each tensor is in, and at which offset. Decided before a byte is written."""

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from adamms.checkpoint import Checkpoint
from adamms.mapping.plan import MergePlan, TensorPlan
from adamms.merging.config import parse_size
from adamms.support.groups import in_groups
from adamms.support.system import preallocate

INDEX = "model.safetensors.index.json"
_PAGE = 4096  # file systems that share bytes between files (reflink) do so in blocks of this size


@dataclass(frozen=True, slots=True)
class Shard:
    """One output file: its header (with the 8 bytes of its length) and its tensors, one after the other."""

    path: Path
    header: bytes
    tensors: tuple[TensorPlan, ...]

    @property
    def nbytes(self) -> int:
        return len(self.header) + sum(tensor.nbytes for tensor in self.tensors)


def lay_out(plan: MergePlan, base: Checkpoint, folder: Path, max_shard_size: str | None = None) -> list[Shard]:
    """The output files in `folder`: sharded as the base is, or each as large as `max_shard_size` allows."""
    if max_shard_size is None:
        groups = [
            [tensor for tensor in plan.tensors if base.tensors[tensor.name].path == path] for path in base.weight_files
        ]
    else:
        groups = in_groups(plan.tensors, lambda tensor: tensor.nbytes, parse_size(max_shard_size))
    names = ["model.safetensors"]
    if len(groups) > 1:
        names = [f"model-{i:05d}-of-{len(groups):05d}.safetensors" for i in range(1, len(groups) + 1)]
    return [_shard(folder / name, tensors, base) for name, tensors in zip(names, groups, strict=True)]


def start_files(shards: Sequence[Shard]) -> None:
    """Writes headers and index, and reserves the disk space of all tensors.

    Raises:
        OSError: the disk is full.
    """
    for shard in shards:
        with shard.path.open("wb") as file:
            preallocate(file.fileno(), shard.nbytes)
            file.write(shard.header)
    if len(shards) > 1:
        index = {
            "metadata": {"total_size": sum(shard.nbytes - len(shard.header) for shard in shards)},
            "weight_map": {tensor.name: shard.path.name for shard in shards for tensor in shard.tensors},
        }
        (shards[0].path.parent / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _shard(path: Path, tensors: Sequence[TensorPlan], base: Checkpoint) -> Shard:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    start = 0
    for tensor in tensors:
        end = start + tensor.nbytes
        entries[tensor.name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [start, end]}
        start = end
    raw = json.dumps(entries, separators=(",", ":")).encode()
    raw += b" " * (-len(raw) % 8)  # data starts aligned, as the safetensors library writes it
    source = base.tensors[tensors[0].name].offset
    if source is not None:  # bytes start as far into a block as in the base's file, so that blocks can be shared
        raw += b" " * ((source - 8 - len(raw)) % _PAGE)
    return Shard(path, struct.pack("<Q", len(raw)) + raw, tuple(tensors))
