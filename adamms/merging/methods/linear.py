"""Linear interpolation."""

from collections.abc import Sequence
from dataclasses import dataclass

from adamms.merging.methods.method import Method, Operands, Statistic
from adamms.merging.methods.registry import register
from adamms.support.tensor import Tensor


@register("linear")
@dataclass(frozen=True)
class Linear(Method):
    """(1 - alpha) * base + alpha * donor: AdaMMS, equation 2 (Du et al., CVPR 2025, arXiv 2503.23733); of several
    donors each has its weight, and the base the rest.
    """

    many_donors = True

    @property
    def leaves_base(self) -> bool:
        return True

    def merge(self, x: Operands, statistic: Statistic = ()) -> Tensor:
        base, *donors = self.weights(x)
        stored = [*x.stored_donors, x.stored_base]
        parts = [(model, weight) for model, weight in zip(stored, (*donors, base), strict=True) if weight]
        if len(parts) == 1:
            return parts[0][0]
        return blend([model.float() for model, _ in parts], [weight for _, weight in parts])


def blend(models: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """The weighted mean, as the model of the largest weight (the first of them) + weight * (model - it) for each other.

    Each operation is rounded by itself: `torch.lerp` fuses two of them on some devices, which changes the last bit.

    Args:
        models: float32, which are left as they are.
        weights: adding up to 1.
    """
    nearest = weights.index(max(weights))
    others = [i for i in range(len(models)) if i != nearest]
    steps = [models[i].sub(models[nearest]).mul_(weights[i]) for i in others]
    return sum(steps[1:], start=steps[0]).add_(models[nearest])
