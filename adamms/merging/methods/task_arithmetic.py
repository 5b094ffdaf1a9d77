"""Task arithmetic, and the two methods that find its weights in the task vectors themselves."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from adamms.merging.methods.coefficient import scale
from adamms.merging.methods.method import Method, Operands, Scope, Statistic
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

    needs_ancestor = True

    def merge(self, x: Operands, statistic: Statistic = ()) -> Tensor:
        return add_to_ancestor(x, weighted_sum(*x.task_vectors(), self.alpha), self.scale)


@register("metagpt")
@dataclass(frozen=True)
class MetaGpt(Method):
    """Task arithmetic whose weights are the shares of the task vectors' squared norms over the whole model.

    Zhou et al., MetaGPT, EMNLP 2024, arXiv 2406.11385: no data, no coefficient but scale.
    """

    scale: float = scale()

    needs_ancestor = True
    uses_alpha = False
    rounds = 1

    @property
    def scope(self) -> Scope:
        return "model"

    def measure(self, x: Operands, sums: Sequence[Tensor]) -> Tensor:
        base, donor = x.task_vectors()
        return inner_products((base, base), (donor, donor))

    def conclude(self, sums: Sequence[Tensor]) -> Statistic:
        base, donor = sums[0].tolist()
        return (as_float32(donor / (base + donor)) if base + donor > 0 else 0.0,)

    def merge(self, x: Operands, statistic: Statistic) -> Tensor:
        (weight,) = statistic
        return add_to_ancestor(x, weighted_sum(*x.task_vectors(), weight), self.scale)


@register("model_stock")
@dataclass(frozen=True)
class ModelStock(Method):
    """t * mean(base, donor) + (1 - t) * ancestor, with t = 2 cos / (1 + cos) of each tensor's two task vectors.

    Jang et al., Model Stock, ECCV 2024, arXiv 2403.19522, for two models. Where the task vectors are at an obtuse angle
    (which the paper's geometry excludes), or one is zero, t is 0.
    """

    needs_ancestor = True
    uses_alpha = False
    rounds = 1

    def measure(self, x: Operands, sums: Sequence[Tensor]) -> Tensor:
        base, donor = x.task_vectors()
        return inner_products((base, donor), (base, base), (donor, donor))

    def conclude(self, sums: Sequence[Tensor]) -> Statistic:
        dot, base, donor = sums[0].tolist()
        lengths = math.sqrt(base) * math.sqrt(donor)
        cosine = max(0.0, min(1.0, dot / lengths)) if lengths > 0 else 0.0
        return (as_float32(2 * cosine / (1 + cosine)),)

    def merge(self, x: Operands, statistic: Statistic) -> Tensor:
        (ratio,) = statistic
        return add_to_ancestor(x, weighted_sum(*x.task_vectors(), 0.5), ratio)


def weighted_sum(base: Tensor, donor: Tensor, alpha: float) -> Tensor:
    """(1 - alpha) * base + alpha * donor; overwrites both arguments."""
    return base.mul_(1 - alpha).add_(donor.mul_(alpha))


def add_to_ancestor(x: Operands, task_vector: Tensor, scale: float) -> Tensor:
    """ancestor + scale * task vector; overwrites the task vector."""
    return task_vector.mul_(scale).add_(x.ancestor)
