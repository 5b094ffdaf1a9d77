"""Model Breadcrumbs: drop what is small, and the few outliers."""

from dataclasses import dataclass

from adamms.merging.methods.coefficient import scale, share
from adamms.merging.methods.magnitudes import Trimming
from adamms.merging.methods.method import Operands, Statistic
from adamms.merging.methods.registry import register
from adamms.merging.methods.task_arithmetic import add_to_ancestor, weighted_sum
from adamms.support.tensor import Tensor


@register("breadcrumbs")
@dataclass(frozen=True)
class Breadcrumbs(Trimming):
    """Task arithmetic of task vectors without their `gamma` largest values, and of the rest the `density` largest.

    Davari and Belilovsky, ECCV 2024, arXiv 2312.06795, tensor by tensor (its beta is 1 - density - gamma, its gamma
    1 - ours). Of n values round(gamma * n) are dropped as outliers and round(density * n) kept; values as large as
    the largest or the smallest of the kept are kept too.
    """

    density: float = share(0.15, "share of each task vector that is kept")
    gamma: float = share(0.007, "share of each task vector, of the largest magnitudes, that is dropped")
    scale: float = scale()

    def merge(self, x: Operands, statistic: Statistic) -> Tensor:
        masked = [
            _between(vector, *statistic[2 * place : 2 * place + 2])
            for vector, place in zip(x.task_vectors(), x.places, strict=True)
        ]
        return add_to_ancestor(x, weighted_sum(masked, self.weights(x)), self.scale)

    def ranks(self, total: int) -> tuple[int, int]:
        """Of the largest and the smallest value kept; if nothing is kept, the second is 0."""
        outliers = round(self.gamma * total)
        first, last = outliers + 1, min(outliers + round(self.density * total), total)
        return min(first, total), last if last >= first else 0


def _between(vector: Tensor, largest: float, smallest: float) -> Tensor:
    magnitudes = vector.abs()
    return vector.masked_fill_((magnitudes > largest) | (magnitudes < smallest), 0)
