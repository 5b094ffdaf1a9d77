"""A whole merged tensor at once, by the function that merges on disk and in an engine."""

from __future__ import annotations

from math import prod

from torch import Tensor

from adamms.checkpoint.dtypes import TORCH_DTYPES
from adamms.mapping.plan import TensorPlan
from adamms.merging import Originals, Recipe, Statistics
from adamms.merging.execute import BLOCK_ELEMENTS, CHUNK_ELEMENTS, cuts_of, merge_cut
from adamms.merging.statistics import NONE


def merged_tensor(
    tensor: TensorPlan,
    originals: Originals,
    recipe: Recipe,
    statistics: Statistics = NONE,
    chunk: int = CHUNK_ELEMENTS,
    block: int = BLOCK_ELEMENTS,
) -> Tensor:
    """One base tensor after the merge, of the plan's shape and dtype; the base's own where nothing merges."""
    import torch

    values = torch.empty(prod(tensor.shape), dtype=TORCH_DTYPES[tensor.dtype])
    for cut in cuts_of(tensor, recipe, chunk, block):
        merge_cut(cut, originals, recipe, statistics, values[cut.start : cut.stop])
    return values.reshape(tensor.shape)
