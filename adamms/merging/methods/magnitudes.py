"""The exact k-th largest magnitude of any number of float32 values, without holding or sorting them all.

The bits of a float32 without its sign, read as an integer, are in the order of the magnitudes. One pass counts the
upper 15 bits of every value, which tells the bin that the k-th largest falls in; a second pass counts the lower 16 bits
of the values in that bin. Counts are integers and add up in any order, so nothing depends on how work was split.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

COARSE, FINE = 1 << 15, 1 << 16
NONE_KEPT = float("inf")


def coarse_counts(values: Tensor) -> Tensor:
    """How many values have each of the upper 15 bits; int64 of length COARSE."""
    import torch

    return torch.bincount(_bits(values) >> 16, minlength=COARSE)


def fine_counts(values: Tensor, bin_: int) -> Tensor:
    """How many values of one coarse bin have each of the lower 16 bits; int64 of length FINE."""
    import torch

    bits = _bits(values)
    return torch.bincount(bits[(bits >> 16) == bin_] & 0xFFFF, minlength=FINE)


def locate(counts: Tensor, rank: int) -> tuple[int, int]:
    """The bin of the value that has `rank` (1: the largest), and its rank within the bin."""
    above = counts.flip(0).cumsum(0)
    from_top = int((above < rank).sum())
    before = int(above[from_top - 1]) if from_top else 0
    return len(counts) - 1 - from_top, rank - before


def magnitude(coarse: Tensor, fine: Tensor, rank: int) -> float:
    """The magnitude of `rank`, from the counts of both passes."""
    upper, rest = locate(coarse, rank)
    lower, _ = locate(fine, rest)
    return float(struct.unpack("<f", struct.pack("<I", upper << 16 | lower))[0])


def _bits(values: Tensor) -> Tensor:
    import torch

    return values.view(torch.int32) & 0x7FFFFFFF
