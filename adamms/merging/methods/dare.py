"""DARE: drop at random and rescale."""

from dataclasses import dataclass

from adamms.merging.methods.coefficient import scale, seed, share
from adamms.merging.methods.method import Method, Operands, Statistic
from adamms.merging.methods.randomness import BITS, random_bits
from adamms.merging.methods.registry import register
from adamms.merging.methods.task_arithmetic import add_to_ancestor, weighted_sum
from adamms.merging.methods.ties import elected_mean
from adamms.support.tensor import Tensor


@register("dare_linear")
@dataclass(frozen=True)
class DareLinear(Method):
    """Task arithmetic of task vectors of which the `density` is kept at random and divided by it.

    Yu et al., ICML 2024, arXiv 2311.03099 (its drop rate p is 1 - density). What is kept of one of several donors
    depends on that donor's weights, not on the order in which donors are named.
    """

    density: float = share(0.5, "share of each task vector that is kept")
    scale: float = scale()
    seed: int = seed()

    many_donors = True
    needs_ancestor = True

    def merge(self, x: Operands, statistic: Statistic = ()) -> Tensor:
        return add_to_ancestor(x, weighted_sum(self._dropped(x), self.weights(x)), self.scale)

    def _dropped(self, x: Operands) -> list[Tensor]:
        models = zip(x.task_vectors(), ("base", *x.keys), strict=True)
        return [self._drop(vector, x, model) for vector, model in models]

    def _drop(self, vector: Tensor, x: Operands, model: str) -> Tensor:
        if self.density in (0, 1):
            return vector if self.density else vector.zero_()
        dropped = random_bits(vector, self.seed, model, x.name, x.start) >= round(self.density * (1 << BITS))
        return vector.div_(self.density).masked_fill_(dropped, 0)


@register("dare_ties")
@dataclass(frozen=True)
class DareTies(DareLinear):
    """DARE in place of TIES' trimming, then TIES' election of signs (arXiv 2311.03099 with 2306.01708)."""

    def merge(self, x: Operands, statistic: Statistic = ()) -> Tensor:
        return add_to_ancestor(x, elected_mean(self._dropped(x), self.weights(x)), self.scale)
