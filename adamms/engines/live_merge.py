"""Merging into the weights of a live engine: computed on the engine's cores, with a digest in the same pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from adamms.checkpoint import DTYPES
from adamms.engines.digest import WeightsDigest, checksum
from adamms.mapping.plan import MergePlan, TensorPlan
from adamms.merging import Originals, Recipe, Statistics, gather_statistics
from adamms.merging.execute import BLOCK_ELEMENTS, CHUNK_ELEMENTS, GPU_CHUNK_ELEMENTS, Cut, cuts_of, merge_cut
from adamms.merging.executor import Executor, run_here, run_on_threads

if TYPE_CHECKING:
    import torch
    from torch import Tensor

AHEAD_BYTES = 1 << 27  # of weights that are computed while the caller takes those before
Target = Callable[[TensorPlan], "Tensor"]


class LiveMerge:
    """Merges the tensors of a plan one after the other, from the originals, and sums up what came out.

    On a CPU every thread merges whole blocks by itself: torch's own way, to split each operation over all threads,
    waits for the slowest of them thousands of times, and for very long where another process has its core.

    Args:
        device: where the originals are given and results are computed.
    """

    def __init__(self, plan: MergePlan, originals: Originals, recipe: Recipe, device: torch.device) -> None:
        self._plan, self._originals, self._recipe, self._device = plan, originals, recipe, device
        self._digest = WeightsDigest()

    def into(self, tensors: Sequence[TensorPlan], target: Target) -> Iterator[tuple[TensorPlan, Tensor]]:
        """Gives each tensor with its merged weight, in order.

        Args:
            target: gives the flat, contiguous memory for a tensor's weight; of another dtype than the tensor's it is
                rounded to the tensor's first.
        """
        with self._threads() as run:
            statistics = gather_statistics(self._plan, self._originals, self._recipe, run)
            before: Iterator[tuple[TensorPlan, Tensor]] = iter(())
            for batch in _batches(tensors):
                started = self._start(batch, target, statistics, run)
                yield from before  # while this batch is computed
                before = started
            yield from before

    def digest(self) -> str:
        """Of all merged weights so far, as they were rounded to the tensors' dtypes."""
        return self._digest.hex()

    def _threads(self) -> AbstractContextManager[Executor]:
        """As many as the engine computes with; a GPU has parallelism enough by itself."""
        import torch

        return run_on_threads(torch.get_num_threads()) if self._device.type == "cpu" else nullcontext(run_here)

    def _start(
        self, batch: Sequence[TensorPlan], target: Target, statistics: Statistics, run: Executor
    ) -> Iterator[tuple[TensorPlan, Tensor]]:
        targets = [target(tensor) for tensor in batch]
        chunk, block = (
            (CHUNK_ELEMENTS, BLOCK_ELEMENTS) if self._device.type == "cpu" else (GPU_CHUNK_ELEMENTS, GPU_CHUNK_ELEMENTS)
        )
        cuts = [cuts_of(tensor, self._recipe, chunk, block) for tensor in batch]
        work = [[(cut, whole) for cut in own] for own, whole in zip(cuts, targets, strict=True)]
        sums = run(_CutMerge(self._originals, self._recipe, statistics), work)
        return self._finish(batch, targets, [len(own) for own in cuts], sums)

    def _finish(
        self, batch: Sequence[TensorPlan], targets: Sequence[Tensor], counts: Sequence[int], sums: Iterator[Tensor]
    ) -> Iterator[tuple[TensorPlan, Tensor]]:
        for tensor, whole, count in zip(batch, targets, counts, strict=True):
            for _ in range(count):
                found = next(sums)
                if tensor.pieces:
                    self._digest.add_sum(f"{tensor.name} {tensor.dtype} {tensor.shape}", found)
            yield tensor, whole.view(tensor.shape)


@dataclass(frozen=True)
class _CutMerge:
    """Merges one cut into the tensor's memory; gives its checksum."""

    originals: Originals
    recipe: Recipe
    statistics: Statistics

    def __call__(self, item: tuple[Cut, Tensor]) -> Tensor:
        import torch

        from adamms.checkpoint.dtypes import TORCH_DTYPES

        cut, whole = item
        live = whole[cut.start : cut.stop]
        dtype = TORCH_DTYPES[cut.tensor.dtype]
        rounded = live if live.dtype == dtype else torch.empty_like(live, dtype=dtype)
        total = torch.zeros((), dtype=torch.int64, device=live.device)
        for block in merge_cut(cut, self.originals, self.recipe, self.statistics, rounded):
            total += checksum(block.values, block.start)
            if rounded is not live:
                live[block.start - cut.start :][: len(block.values)] = block.values
        return total


def _batches(tensors: Sequence[TensorPlan]) -> Iterator[list[TensorPlan]]:
    batch: list[TensorPlan] = []
    size = 0
    for tensor in tensors:
        batch.append(tensor)
        size += prod(tensor.shape) * DTYPES[tensor.dtype]
        if size >= AHEAD_BYTES:
            yield batch
            batch, size = [], 0
    yield batch
