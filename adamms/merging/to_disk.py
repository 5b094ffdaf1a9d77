"""Executing a plan on disk: writes a complete Hugging Face folder with the base's names, shapes and dtypes."""

import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from adamms.checkpoint import Checkpoint
from adamms.checkpoint.checkpoint import total_bytes
from adamms.errors import FULL, UserError
from adamms.mapping import MergePlan, PlannedPair
from adamms.merging.companions import copy_companions, write_mergekit, write_model_card, write_record
from adamms.merging.config import MergingConfig
from adamms.merging.execute import CHUNK_ELEMENTS, GPU_CHUNK_ELEMENTS, Originals
from adamms.merging.executor import Executor, device_of, run_on_threads
from adamms.merging.gather import gather_statistics
from adamms.merging.layout import Shard, lay_out, start_files
from adamms.merging.reader import Reader
from adamms.merging.recipe import Recipe
from adamms.merging.spans import Job, Written, stretch_bytes, stretches_of, write_stretch
from adamms.merging.staging import fsync, remove_stale, staged_folder
from adamms.support.files import expanded, is_folder
from adamms.support.progress import bytes_bar
from adamms.support.ray_session import RayConfig
from adamms.support.system import cores

MERGING, RAY = MergingConfig(), RayConfig()
_BESIDE_WEIGHTS = 1 << 20  # bytes of a checkpoint's other files, about


def merge_to_disk(
    pair: PlannedPair,
    recipe: Recipe,
    output: Path,
    *,
    config: MergingConfig = MERGING,
    ray: RayConfig = RAY,
    force: bool = False,
    check: Callable[[Path], None] | None = None,
    title: str = "merging",
) -> Path:
    """Writes the merged checkpoint to `output`, which appears complete or not at all; shows on stderr how far it is.

    Args:
        pair: planned with an ancestor, if the recipe's method needs one.
        check: is called with the finished folder before that appears as `output`; if it raises, nothing appears.
        title: of the progress bar.

    Raises:
        UserError: `output` exists (without `force`), the disk is too small, the method needs an ancestor and there is
            none, or merged values are not finite.
    """
    output = expanded(output).absolute()
    plan, base, models = pair.plan, pair.base, pair.models
    check_ancestor(recipe, pair.ancestor)
    recipe.check_donors(len(pair.donors))
    _check_gpu(config, ray)
    check_apart(output, models)
    remove_stale(output)
    _check_space(output, base)
    try:
        with staged_folder(output, force) as staging, _executor(config, ray) as execute:
            copy_companions(base.folder, staging)
            left = recipe.left_of(plan)
            shards = lay_out(left, base, staging, config.max_shard_size)
            start_files(shards)
            job = _job(left, models, recipe, device_of(config), execute)
            with bytes_bar(title, plan.bytes) as advance:
                _write(shards, job, execute, config.workers or cores(), advance)
            write_model_card(pair, recipe, staging)
            write_mergekit(plan, recipe, staging)
            write_record(pair, recipe, job.statistics, staging)
            _verify(staging, base)
            if check:
                check(staging)
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise UserError(f"{output}: {os.strerror(error.errno or 0)}; make room or choose another disk") from None
    return output


def check_ancestor(recipe: Recipe, ancestor: Any) -> None:
    """Raises UserError where the method needs an ancestor and there is none."""
    if recipe.rule.needs_ancestor and ancestor is None:
        raise UserError(
            f"{recipe.method} works on what fine-tuning added to the common ancestor, which the cards of the models do "
            "not name: name it with --ancestor (or `ancestor` in the config)"
        )


def _job(plan: MergePlan, models: Sequence[Checkpoint], recipe: Recipe, device: str, execute: Executor) -> Job:
    read_often = Originals.of(plan, [Reader(model, device) for model in models])
    statistics = gather_statistics(plan, read_often, recipe, execute)
    originals = Originals.of(plan, [Reader(model, device, last=True) for model in models])
    return Job(models[0], originals, recipe, statistics, device)


def _write(shards: Sequence[Shard], job: Job, execute: Executor, workers: int, advance: Callable[[int], None]) -> None:
    """Writes all stretches; those of a shard are one group, so on Ray one task writes a file."""
    limit = stretch_bytes(sum(shard.nbytes for shard in shards), workers)
    chunk = CHUNK_ELEMENTS if job.device == "cpu" else GPU_CHUNK_ELEMENTS
    groups = [stretches_of(shard, job.base, job.recipe, limit, chunk) for shard in shards]
    for written in execute(partial(write_stretch, job=job), groups, _synced):
        advance(written.nbytes)


def _synced(written: Iterable[Written]) -> Sequence[Written]:
    """Flushes what one task wrote to the disk: only the machine that wrote it can do so."""
    found = list(written)
    for path in {one.path for one in found}:
        fsync(path)
    return found


def _executor(config: MergingConfig, ray: RayConfig) -> AbstractContextManager[Executor]:
    if runs_on_ray(config, ray):
        from adamms.merging.on_ray import run_on_ray

        return run_on_ray(config, ray)
    return run_on_threads(config.workers, device_of(config))


def runs_on_ray(config: MergingConfig, ray: RayConfig) -> bool:
    """Whether Ray tasks do the merge, rather than threads of this process."""
    cluster = ray.address or os.environ.get("RAY_ADDRESS")  # the latter in a job of `ray job submit`
    return config.backend == "ray" or (config.backend == "auto" and bool(cluster))


def _check_gpu(config: MergingConfig, ray: RayConfig) -> None:
    """Raises UserError where this machine has no GPU to merge on; on Ray, the cluster's machines are checked."""
    import torch

    if config.gpus_per_task and not runs_on_ray(config, ray) and not torch.cuda.is_available():
        raise UserError(f"merging.gpus_per_task={config.gpus_per_task:g}: torch sees no GPU here; leave it at 0")


def check_apart(output: Path, models: Iterable[Checkpoint]) -> None:
    """Raises UserError where the output would replace one of the models that are merged, or become a part of one."""
    place = output.resolve()
    for part in (part for model in models for part in model.parts):
        folder = part.folder.resolve()
        if place == folder or place in folder.parents:
            raise UserError(f"{output}: holds {part.location}, which is merged here; give another folder")
        if folder in place.parents:
            raise UserError(f"{output}: lies in {part.location}, which is merged here; give a folder outside it")


def room(folder: Path, base: Checkpoint, count: int = 1) -> tuple[int, int]:
    """How many bytes `count` merged checkpoints of this base need, and how many are free where `folder` is or would
    be."""
    needed = count * (total_bytes(base.tensors.values()) + _BESIDE_WEIGHTS)
    home = next(place for place in (folder, *folder.parents) if is_folder(place))
    return needed, shutil.disk_usage(home).free


def _check_space(output: Path, base: Checkpoint) -> None:
    needed, free = room(output, base)
    if free < needed:
        raise UserError(f"{output}: {size(needed)} are needed, {size(free)} are free; make room or choose another disk")


def size(count: int) -> str:
    """Bytes in words: `15.2 GB`."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


def _verify(folder: Path, base: Checkpoint) -> None:
    """Raises RuntimeError unless the output has exactly the base's tensor names, shapes and dtypes."""
    written = {name: (info.dtype, info.shape) for name, info in Checkpoint(folder).tensors.items()}
    expected = {name: (info.dtype, info.shape) for name, info in base.tensors.items()}
    if written != expected:
        different = sorted(name for name in written.keys() | expected.keys() if written.get(name) != expected.get(name))
        raise RuntimeError(f"{folder}: {len(different)} tensors are not as in the base, first {different[0]!r}")
