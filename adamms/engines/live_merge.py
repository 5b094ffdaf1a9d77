"""Merging into the weights of a live engine: computed on the engine's cores, with a digest in the same pass."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from adamms.checkpoint import DTYPES
from adamms.engines.digest import WeightsDigest, checksum
from adamms.mapping.plan import MergePlan, TensorPlan
from adamms.merging import Originals, Recipe, Statistics, gather_statistics
from adamms.merging.execute import BLOCK_ELEMENTS, CHUNK_ELEMENTS, GPU_CHUNK_ELEMENTS, Cut, cuts_of, merge_cut
from adamms.merging.executor import Executor, run_here, run_on_threads
from adamms.merging.methods import Method

AHEAD_BYTES = 1 << 27  # of weights that are computed while the caller takes those before
Target = Callable[[TensorPlan], Tensor]


@dataclass(frozen=True)
class Ranks:
    """The processes that hold one model together: each merges some of its tensors and sends them to the others.

    Attributes:
        index: which of them this process is.
        broadcast: sends a tensor from the rank of that index, or fills it with what that rank sends.
    """

    index: int = 0
    count: int = 1
    broadcast: Callable[[Tensor, int], object] = lambda tensor, source: None

    def owners(self, tensors: Sequence[TensorPlan]) -> dict[str, int]:
        """Which rank merges which tensor: each as many bytes as the others, as far as tensors are whole."""
        loads = [0] * self.count
        found = {}
        for tensor in tensors:
            owner = loads.index(min(loads))
            loads[owner] += _nbytes(tensor)
            found[tensor.name] = owner
        return found

    def own(self, tensors: Sequence[TensorPlan]) -> list[TensorPlan]:
        """Those that this rank merges: whose originals it needs."""
        owners = self.owners(tensors)
        return [tensor for tensor in tensors if owners[tensor.name] == self.index]


ALONE = Ranks()


class KnownStatistics:
    """What methods know of the originals of one plan, which all moves to them share: it does not depend on alpha, so
    that a search over alpha reads all weights for it once."""

    def __init__(self) -> None:
        self._found: dict[tuple[frozenset[int], Method], Statistics] = {}

    def of(self, plan: MergePlan, originals: Originals, recipe: Recipe, run: Executor) -> Statistics:
        """What is known, or is gathered now, for a recipe.

        Args:
            plan: what the recipe leaves of it.
        """
        key = recipe.taking(len(plan.donors)), replace(recipe.rule, alpha=0.0)
        if key not in self._found:
            self._found[key] = gather_statistics(plan, originals, recipe, run)
        return self._found[key]


class LiveMerge:
    """Merges the tensors of a plan one after the other, from the originals, and sums up what came out.

    On a CPU every thread merges whole blocks by itself: torch's own way, to split each operation over all threads,
    waits for the slowest of them thousands of times, and for very long where another process has its core.

    Args:
        device: where the originals are given and results are computed.
        known: statistics of this plan and these originals; None where nothing is to be kept for another move.
    """

    def __init__(
        self,
        plan: MergePlan,
        originals: Originals,
        recipe: Recipe,
        device: torch.device,
        ranks: Ranks = ALONE,
        known: KnownStatistics | None = None,
    ) -> None:
        self._plan, self._originals, self._recipe, self._device = recipe.left_of(plan), originals, recipe, device
        self._ranks, self._known = ranks, known or KnownStatistics()
        self._digest = WeightsDigest()

    def into(self, tensors: Sequence[TensorPlan], target: Target) -> Iterator[tuple[TensorPlan, Tensor]]:
        """Gives each tensor with its merged weight, in order; every rank has to ask for the same ones.

        Args:
            tensors: of the whole plan; of a donor that takes no part in the recipe nothing merges.
            target: gives the flat, contiguous memory for a tensor's weight; of another dtype than the tensor's it is
                rounded to the tensor's first.
        """
        left = {tensor.name: tensor for tensor in self._plan.tensors}
        tensors = [left[tensor.name] for tensor in tensors]
        with self._threads() as run:
            statistics = self._known.of(self._plan, self._originals, self._recipe, run)
            before: Iterator[tuple[TensorPlan, Tensor]] = iter(())
            owners = self._ranks.owners(tensors)
            for batch in _batches(tensors):
                started = self._start([(tensor, owners[tensor.name]) for tensor in batch], target, statistics, run)
                yield from before  # while this batch is computed
                before = started
            yield from before

    def digest(self) -> str:
        """Of all merged weights so far, as they were rounded to the tensors' dtypes."""
        return self._digest.hex()

    def _threads(self) -> AbstractContextManager[Executor]:
        """As many as the engine computes with; a GPU has parallelism enough by itself."""
        return run_on_threads(torch.get_num_threads()) if self._device.type == "cpu" else nullcontext(run_here)

    def _start(
        self, batch: Sequence[tuple[TensorPlan, int]], target: Target, statistics: Statistics, run: Executor
    ) -> Iterator[tuple[TensorPlan, Tensor]]:
        """Has a batch computed, of which each tensor comes with its owner; the weights can be waited for."""
        on_cpu, merge = self._device.type == "cpu", _CutMerge(self._originals, self._recipe, statistics)
        chunk, block = (CHUNK_ELEMENTS, BLOCK_ELEMENTS) if on_cpu else (GPU_CHUNK_ELEMENTS, GPU_CHUNK_ELEMENTS)
        targets = [target(tensor) for tensor, _ in batch]
        work: list[list[tuple[Cut, Tensor]]] = [
            [(cut, whole) for cut in cuts_of(tensor, self._recipe, chunk, block)] if owner == self._ranks.index else []
            for (tensor, owner), whole in zip(batch, targets, strict=True)
        ]
        sums = run(merge, work)
        if not on_cpu:
            sums = iter(list(sums))  # launched before anything is waited for from other ranks
        return self._finish(batch, targets, [len(cuts) for cuts in work], sums)

    def _finish(
        self,
        batch: Sequence[tuple[TensorPlan, int]],
        targets: Sequence[Tensor],
        counts: Sequence[int],
        sums: Iterator[Tensor],
    ) -> Iterator[tuple[TensorPlan, Tensor]]:
        for (tensor, owner), whole, count in zip(batch, targets, counts, strict=True):
            found = [next(sums) for _ in range(count)]
            self._ranks.broadcast(whole, owner)
            if owner != self._ranks.index:
                found = [checksum(whole)]
            for part in found if tensor.pieces else ():
                self._digest.add_sum(f"{tensor.name} {tensor.dtype} {tensor.shape}", part)
            yield tensor, whole.view(tensor.shape)


@dataclass(frozen=True)
class _CutMerge:
    """Merges one cut into the tensor's memory; gives its checksum."""

    originals: Originals
    recipe: Recipe
    statistics: Statistics

    def __call__(self, item: tuple[Cut, Tensor]) -> Tensor:
        from adamms.checkpoint.dtypes import TORCH_DTYPES

        cut, whole = item
        live = whole[cut.start : cut.stop]
        dtype = TORCH_DTYPES[cut.tensor.dtype]
        rounded = live if live.dtype == dtype else torch.empty_like(live, dtype=dtype)
        merge_cut(cut, self.originals, self.recipe, self.statistics, rounded)
        if rounded is not live:
            live.copy_(rounded)
        return checksum(rounded, cut.start)


def _batches(tensors: Sequence[TensorPlan]) -> Iterator[list[TensorPlan]]:
    batch: list[TensorPlan] = []
    size = 0
    for tensor in tensors:
        batch.append(tensor)
        size += _nbytes(tensor)
        if size >= AHEAD_BYTES:
            yield batch
            batch, size = [], 0
    yield batch


def _nbytes(tensor: TensorPlan) -> int:
    return prod(tensor.shape) * DTYPES[tensor.dtype]
