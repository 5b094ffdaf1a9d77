"""Linear interpolation."""

from dataclasses import dataclass

from adamms.merging.methods.method import Method, Operands, Statistic
from adamms.merging.methods.registry import register
from adamms.support.tensor import Tensor


@register("linear")
@dataclass(frozen=True)
class Linear(Method):
    """(1 - alpha) * base + alpha * donor: AdaMMS, equation 2 (Du et al., CVPR 2025, arXiv 2503.23733)."""

    def merge(self, x: Operands, statistic: Statistic = ()) -> Tensor:
        if self.alpha in (0, 1):
            return x.stored_donor if self.alpha else x.stored_base
        return interpolate(x.base, x.donor, self.alpha)


def interpolate(base: Tensor, donor: Tensor, alpha: float) -> Tensor:
    """base + alpha * (donor - base), from the nearer end; overwrites both arguments.

    Three operations, each rounded: `torch.lerp` fuses two of them on some devices, which changes the last bit.
    """
    if alpha < 0.5:
        return donor.sub_(base).mul_(alpha).add_(base)
    return base.sub_(donor).mul_(1 - alpha).add_(donor)
