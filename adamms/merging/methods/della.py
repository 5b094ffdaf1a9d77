"""DELLA: drop at random, the small rather than the large."""

from dataclasses import dataclass

from adamms.merging.methods.coefficient import scale, seed, share
from adamms.merging.methods.method import Method, Operands, Statistic
from adamms.merging.methods.randomness import BITS, random_bits
from adamms.merging.methods.registry import register
from adamms.merging.methods.task_arithmetic import add_to_ancestor
from adamms.merging.methods.ties import elected_mean
from adamms.support.tensor import Tensor


@register("della")
@dataclass(frozen=True)
class Della(Method):
    """Within each row a value is kept with a probability that grows with the rank of its magnitude, and divided by it;
    then TIES' election of signs: Deep et al., arXiv 2406.11617.

    The probability goes from density - epsilon for the smallest to density + epsilon for the largest; epsilon is made
    smaller where that would leave [0, 1], so density 0 keeps nothing and 1 everything.
    """

    density: float = share(0.5, "share of each task vector that is kept")
    epsilon: float = share(
        0.1, "the share kept goes from density - epsilon (smallest magnitude) to density + epsilon (largest)"
    )
    scale: float = scale()
    seed: int = seed()

    many_donors = True
    needs_ancestor = True
    whole_rows = True

    def merge(self, x: Operands, statistic: Statistic = ()) -> Tensor:
        models = zip(x.task_vectors(), ("base", *x.keys), strict=True)
        dropped = [self._drop(vector, x, model) for vector, model in models]
        return add_to_ancestor(x, elected_mean(dropped, self.weights(x)), self.scale)

    def _drop(self, vector: Tensor, x: Operands, model: str) -> Tensor:
        kept = self._probabilities(vector.abs().view(-1, x.row)).flatten()
        bits = random_bits(vector, self.seed, model, x.name, x.start)
        return vector.div_(kept).masked_fill_(bits.float().div_(1 << BITS) >= kept, 0)

    def _probabilities(self, magnitudes: Tensor) -> Tensor:
        """The probability of each value to be kept, by its rank within its row; equal values rank by their index.

        Args:
            magnitudes: [rows, columns].
        """
        import torch

        length = magnitudes.shape[1]
        epsilon = min(self.epsilon, self.density, 1 - self.density)
        step = 2 * epsilon / (length - 1) if length > 1 else 0.0
        ranks = torch.arange(length, dtype=torch.float32, device=magnitudes.device).expand_as(magnitudes)
        order = magnitudes.argsort(dim=1, stable=True)
        by_rank = ranks.mul(step).add_(self.density - epsilon if length > 1 else self.density)
        return torch.empty_like(magnitudes).scatter_(1, order, by_rank)
