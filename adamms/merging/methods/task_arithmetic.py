"""Task arithmetic, and the two methods that find its weights in the task vectors themselves."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from adamms.merging.methods.coefficient import scale
from adamms.merging.methods.method import Method, Operands, Scope, Statistic, with_rest
from adamms.merging.methods.registry import register
from adamms.merging.methods.sums import as_float32, inner_products
from adamms.support.tensor import Tensor


@register("task_arithmetic")
@dataclass(frozen=True)
class TaskArithmetic(Method):
    """ancestor + scale * ((1 - alpha) * base's task vector + alpha * donor's).

    Ilharco et al., Editing models with task arithmetic, ICLR 2023, arXiv 2212.04089. With scale 1 it is linear
    interpolation; the paper's lambda, one for both models, is scale / 2 at alpha 0.5.
    """

    scale: float = scale()

    many_donors = True
    needs_ancestor = True

    @property
    def leaves_base(self) -> bool:
        return self.scale == 1

    def merge(self, x: Operands, statistic: Statistic = ()) -> Tensor:
        return add_to_ancestor(x, weighted_sum(x.task_vectors(), self.weights(x)), self.scale)


@register("metagpt")
@dataclass(frozen=True)
class MetaGpt(Method):
    """Task arithmetic whose weights are the shares of the task vectors' squared norms over the whole model.

    Zhou et al., MetaGPT, EMNLP 2024, arXiv 2406.11385: no data, no coefficient but scale.
    """

    scale: float = scale()

    many_donors = True
    needs_ancestor = True
    uses_alpha = False
    rounds = 1

    @property
    def scope(self) -> Scope:
        return "model"

    def measure(self, x: Operands, sums: Sequence[Tensor]) -> Tensor:
        import torch

        norms = inner_products(*((vector, vector) for vector in x.task_vectors()))
        return torch.stack(x.of_all(list(norms)))

    def conclude(self, sums: Sequence[Tensor]) -> Statistic:
        """The weight of each donor."""
        norms = sums[0].tolist()
        total = math.fsum(norms)
        return tuple(as_float32(norm / total) if total > 0 else 0.0 for norm in norms[1:])

    def merge(self, x: Operands, statistic: Statistic) -> Tensor:
        weights = with_rest([statistic[donor] for donor in x.donors])
        return add_to_ancestor(x, weighted_sum(x.task_vectors(), weights), self.scale)


@register("model_stock")
@dataclass(frozen=True)
class ModelStock(Method):
    """t * mean(base, donor) + (1 - t) * ancestor, with t = 2 cos / (1 + cos) of each tensor's two task vectors.

    Jang et al., Model Stock, ECCV 2024, arXiv 2403.19522. Of n models, the base one of them, t is n cos / (1 + (n - 1)
    cos), with the mean of the cosines of all pairs. Where the task vectors are at an obtuse angle (which the paper's
    geometry excludes), or one is zero, t is 0.
    """

    many_donors = True
    needs_ancestor = True
    uses_alpha = False
    rounds = 1

    def measure(self, x: Operands, sums: Sequence[Tensor]) -> Tensor:
        """Of all task vectors with themselves, then of each pair."""
        vectors = x.task_vectors()
        return inner_products(*((vector, vector) for vector in vectors), *combinations(vectors, 2))

    def conclude(self, sums: Sequence[Tensor]) -> Statistic:
        found = sums[0].tolist()
        count = (math.isqrt(8 * len(found) + 1) - 1) // 2
        lengths = [math.sqrt(norm) for norm in found[:count]]
        pairs = [first * second for first, second in combinations(lengths, 2)]
        if not all(both > 0 for both in pairs):
            return (0.0,)
        mean = math.fsum(dot / both for dot, both in zip(found[count:], pairs, strict=True)) / len(pairs)
        cosine = max(0.0, min(1.0, mean))
        return (as_float32(count * cosine / (1 + (count - 1) * cosine)),)

    def merge(self, x: Operands, statistic: Statistic) -> Tensor:
        (ratio,), vectors = statistic, x.task_vectors()
        return add_to_ancestor(x, weighted_sum(vectors, [1 / len(vectors)] * len(vectors)), ratio)


def weighted_sum(vectors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """weight * vector of the base, then of each donor, added up; overwrites all of them."""
    total, *rest = (vector.mul_(weight) for vector, weight in zip(vectors, weights, strict=True))
    for one in rest:
        total.add_(one)
    return total


def add_to_ancestor(x: Operands, task_vector: Tensor, scale: float) -> Tensor:
    """ancestor + scale * task vector; overwrites the task vector."""
    return task_vector.mul_(scale).add_(x.ancestor)
