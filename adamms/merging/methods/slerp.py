"""Spherical interpolation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from adamms.merging.methods.linear import blend
from adamms.merging.methods.method import Method, Operands, Statistic
from adamms.merging.methods.registry import register
from adamms.merging.methods.sums import as_float32, inner_products
from adamms.support.tensor import Tensor

NEARLY_PARALLEL = 0.9995  # above this cosine the arc is a straight line for float32


@register("slerp")
@dataclass(frozen=True)
class Slerp(Method):
    """sin((1 - alpha) w) / sin w * base + sin(alpha w) / sin w * donor, w the angle between the two tensors.

    Shoemake, Animating rotation with quaternion curves, SIGGRAPH 1985. Linear where the tensors are (anti)parallel
    or one of them is zero.
    """

    rounds = 1

    @property
    def leaves_base(self) -> bool:
        return True

    def measure(self, x: Operands, sums: Sequence[Tensor]) -> Tensor:
        base, donor = x.base, x.donor
        return inner_products((base, donor), (base, base), (donor, donor))

    def conclude(self, sums: Sequence[Tensor]) -> Statistic:
        dot, base, donor = sums[0].tolist()
        lengths = math.sqrt(base) * math.sqrt(donor)
        return (as_float32(dot / lengths) if lengths > 0 else 1.0,)

    def merge(self, x: Operands, statistic: Statistic) -> Tensor:
        (cosine,), (alpha,) = statistic, self.alphas
        if alpha in (0, 1):
            return x.stored_donors[0] if alpha else x.stored_base
        if not abs(cosine) <= NEARLY_PARALLEL:
            return blend([x.donor, x.base], [alpha, 1 - alpha])
        angle = math.acos(cosine)
        ours, theirs = (math.sin(part * angle) / math.sin(angle) for part in (1 - alpha, alpha))
        return x.base.mul_(ours).add_(x.donor.mul_(theirs))
