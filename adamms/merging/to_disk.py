"""Executing a plan on disk: a complete Hugging Face folder with the base's names, shapes and dtypes."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adamms import __version__
from adamms.checkpoint import DTYPES, Checkpoint, TensorInfo
from adamms.checkpoint.checkpoint import read_json, total_bytes
from adamms.errors import UserError
from adamms.mapping.plan import MergePlan, TensorPlan
from adamms.merging.execute import Originals, merged_chunks
from adamms.merging.recipe import Recipe
from adamms.merging.staging import staged_folder

if TYPE_CHECKING:
    from torch import Tensor

Progress = Callable[[int], None]  # called with bytes written since the last call
COPY_BYTES = 1 << 24
RECORD = "adamms.json"  # what made the folder
_NOT_COPIED = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".index.json")


@dataclass(frozen=True, slots=True)
class OutputTensor:
    """A tensor's place in the output: which file, and where in it."""

    plan: TensorPlan
    path: Path
    offset: int


def merge_to_disk(
    plan: MergePlan,
    base: Checkpoint,
    donor: Checkpoint,
    recipe: Recipe,
    output: Path,
    *,
    force: bool = False,
    workers: int = 0,
    progress: Progress = lambda _: None,
) -> Path:
    """Writes the merged checkpoint to `output`, which appears complete or not at all.

    Raises:
        UserError: `output` exists (without `force`), or the disk is too small.
    """
    _check_space(output, base)
    with staged_folder(output, force) as staging:
        _copy_companions(base.folder, staging)
        tensors = _lay_out(plan, base, staging)
        _write_tensors(tensors, base, donor, recipe, workers or os.cpu_count() or 1, progress)
        (staging / RECORD).write_text(json.dumps(_record(plan, recipe), indent=2) + "\n", encoding="utf-8")
        _verify(staging, base)
    return output


def was_merged_as(folder: Path, plan: MergePlan, recipe: Recipe) -> bool:
    """Whether the folder is what this plan and recipe give (folders appear complete or not at all)."""
    record = folder / RECORD
    return record.is_file() and read_json(record) == _record(plan, recipe)


def _check_space(output: Path, base: Checkpoint) -> None:
    needed = total_bytes(base.tensors.values())
    parent = next(folder for folder in (output, *output.parents) if folder.exists())
    free = shutil.disk_usage(parent).free
    if free < needed * 1.01:
        raise UserError(
            f"{output}: {needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free; "
            "make room or choose another disk"
        )


def _copy_companions(source: Path, target: Path) -> None:
    """Configuration, tokenizer, processor, chat template, remote code: all that is not weights (links are resolved)."""
    for path in source.iterdir():
        if path.is_file() and not path.name.endswith(_NOT_COPIED) and not path.name.startswith("."):
            shutil.copyfile(path, target / path.name)


def _lay_out(plan: MergePlan, base: Checkpoint, folder: Path) -> list[OutputTensor]:
    """Preallocates the output files, writes their headers and the index; sharded as the base is."""
    sources = base.weight_files
    names = ["model.safetensors"]
    if len(sources) > 1:
        names = [f"model-{i:05d}-of-{len(sources):05d}.safetensors" for i in range(1, len(sources) + 1)]
    outputs: list[OutputTensor] = []
    weight_map: dict[str, str] = {}
    for source, name in zip(sources, names, strict=True):
        shard = [tensor for tensor in plan.tensors if base.tensors[tensor.name].path == source]
        outputs += _start_file(folder / name, shard)
        weight_map |= {tensor.name: name for tensor in shard}
    if len(names) > 1:
        index = {"metadata": {"total_size": total_bytes(base.tensors.values())}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    return outputs


def _start_file(path: Path, tensors: Sequence[TensorPlan]) -> list[OutputTensor]:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    position, starts = 0, []
    for tensor in tensors:
        size = TensorInfo(tensor.name, tensor.dtype, tensor.shape, path, None).nbytes
        header[tensor.name] = {
            "dtype": tensor.dtype,
            "shape": tensor.shape,
            "data_offsets": [position, position + size],
        }
        starts.append(position)
        position += size
    raw = json.dumps(header, separators=(",", ":")).encode()
    raw += b" " * (-len(raw) % 8)  # data starts aligned, as the safetensors library writes it
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        file.truncate(8 + len(raw) + position)
    return [OutputTensor(t, path, 8 + len(raw) + start) for t, start in zip(tensors, starts, strict=True)]


def _write_tensors(
    tensors: Sequence[OutputTensor],
    base: Checkpoint,
    donor: Checkpoint,
    recipe: Recipe,
    workers: int,
    progress: Progress,
) -> None:
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(_write_tensor, tensor, base, donor, recipe, progress) for tensor in tensors]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _write_tensor(
    tensor: OutputTensor, base: Checkpoint, donor: Checkpoint, recipe: Recipe, progress: Progress
) -> None:
    """Rows without a piece are copied as they are, the others merged."""
    info = base.tensors[tensor.plan.name]
    size = DTYPES[info.dtype]
    descriptor = os.open(tensor.path, os.O_WRONLY)
    try:
        for start, stop in _unmerged_rows(tensor.plan):
            _copy_rows(info, base, descriptor, tensor.offset, start, stop, progress)
        for chunk in merged_chunks(tensor.plan, Originals(base, donor), recipe):
            _pwrite(descriptor, _as_bytes(chunk.values), tensor.offset + chunk.start * size)
            progress(len(chunk.values) * size)
    finally:
        os.close(descriptor)


def _unmerged_rows(tensor: TensorPlan) -> list[tuple[int, int]]:
    rows = tensor.shape[0] if tensor.shape else 1
    gaps, position = [], 0
    for piece in sorted(tensor.pieces, key=lambda piece: piece.start):
        gaps.append((position, piece.start))
        position = piece.stop
    gaps.append((position, rows))
    return [(start, stop) for start, stop in gaps if start < stop]


def _copy_rows(
    info: TensorInfo, base: Checkpoint, descriptor: int, offset: int, start: int, stop: int, progress: Progress
) -> None:
    size = DTYPES[info.dtype]
    first, last = start * info.row_elements, stop * info.row_elements
    step = max(1, COPY_BYTES // size)
    for begin in range(first, last, step):
        end = min(begin + step, last)
        _pwrite(descriptor, _as_bytes(base.read(info.name, begin, end)), offset + begin * size)
        progress((end - begin) * size)


def _as_bytes(values: Tensor) -> memoryview:
    import torch

    return memoryview(values.contiguous().view(torch.uint8).numpy().data)


def _pwrite(descriptor: int, data: memoryview, offset: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], offset + done)


def _record(plan: MergePlan, recipe: Recipe) -> dict[str, Any]:
    return {
        "adamms": __version__,
        "recipe": recipe.to_dict(),
        "plan": plan.fingerprint,
        "base": plan.base.location,
        "donor": plan.donor.location,
        "digests": {"base": plan.base.digest, "donor": plan.donor.digest},
    }


def _verify(folder: Path, base: Checkpoint) -> None:
    """The output has exactly the base's names, shapes and dtypes, or the run fails."""
    written = {name: (info.dtype, info.shape) for name, info in Checkpoint(folder).tensors.items()}
    expected = {name: (info.dtype, info.shape) for name, info in base.tensors.items()}
    if written != expected:
        different = sorted(name for name in written.keys() | expected.keys() if written.get(name) != expected.get(name))
        raise RuntimeError(f"{folder}: {len(different)} tensors are not as in the base, first {different[0]!r}")
