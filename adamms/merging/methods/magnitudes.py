"""The exact k-th largest magnitude of any number of float32 values, without holding or sorting them all.

The bits of a float32 without its sign, read as an integer, are in the order of the magnitudes. One pass counts the
upper 15 bits of every value, which tells the bin that the k-th largest falls in; a second pass counts the lower 16 bits
of the values in that bin. Counts are integers and add up in any order, so nothing depends on how work was split.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from adamms.merging.methods.method import Method, Operands, Statistic
from adamms.support.tensor import Tensor

COARSE, FINE = 1 << 15, 1 << 16


@dataclass(frozen=True)
class Trimming(Method):
    """A method that keeps values of each task vector by the rank of their magnitude.

    It merges by the magnitudes at its `ranks` of the base's task vector, then of each donor's.
    """

    many_donors = True
    needs_ancestor = True
    rounds = 2

    def ranks(self, total: int) -> tuple[int, ...]:
        """The ranks (1: the largest) among so many values whose magnitudes it needs; 0: above all."""
        raise NotImplementedError

    def measure(self, x: Operands, sums: Sequence[Tensor]) -> Tensor:
        import torch

        if not sums:
            return torch.stack(x.of_all([coarse_counts(vector) for vector in x.task_vectors()]))
        own = [
            torch.stack(
                [
                    fine_counts(vector, locate(sums[0][place], max(1, rank))[0])
                    for rank in self.ranks(int(sums[0][place].sum()))
                ]
            )
            for vector, place in zip(x.task_vectors(), x.places, strict=True)
        ]
        return torch.cat(x.of_all(own))

    def conclude(self, sums: Sequence[Tensor]) -> Statistic:
        fine = iter(sums[1])
        return tuple(
            magnitude(coarse, next(fine), rank) for coarse in sums[0] for rank in self.ranks(int(coarse.sum()))
        )


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
    """The magnitude of `rank`, from the counts of both passes; infinite for rank 0."""
    if rank == 0:
        return float("inf")
    upper, rest = locate(coarse, rank)
    lower, _ = locate(fine, rest)
    return float(struct.unpack("<f", struct.pack("<I", upper << 16 | lower))[0])


def _bits(values: Tensor) -> Tensor:
    import torch

    return values.view(torch.int32) & 0x7FFFFFFF
