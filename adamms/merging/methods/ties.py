"""TIES: trim, elect a sign, merge what agrees."""

from dataclasses import dataclass

from adamms.merging.methods.coefficient import choice, scale, share
from adamms.merging.methods.magnitudes import Trimming
from adamms.merging.methods.method import Operands, Scope, Statistic
from adamms.merging.methods.registry import register
from adamms.merging.methods.task_arithmetic import add_to_ancestor
from adamms.support.tensor import Tensor


@register("ties")
@dataclass(frozen=True)
class Ties(Trimming):
    """Keeps the `density` largest of each task vector, then takes the `elected_mean`.

    Yadav et al., TIES-Merging, NeurIPS 2023, arXiv 2306.01708: its method at alpha 0.5, its lambda is scale. Of n
    values round(density * n) are kept, and those as large as the smallest of them.
    """

    density: float = share(0.2, "share of each task vector that is kept")
    scale: float = scale()
    trim_over: str = choice(
        "model", "tensor", description="what the density is a share of: the whole model, as the authors do, or a tensor"
    )

    @property
    def scope(self) -> Scope:
        return "model" if self.trim_over == "model" else "tensor"

    def merge(self, x: Operands, statistic: Statistic) -> Tensor:
        base, donor = (
            vector.masked_fill_(vector.abs() < smallest, 0)
            for vector, smallest in zip(x.task_vectors(), statistic, strict=True)
        )
        return add_to_ancestor(x, elected_mean(base, donor, self.alpha), self.scale)

    def ranks(self, total: int) -> tuple[int]:
        """Of the smallest value kept."""
        return (round(self.density * total),)


def elected_mean(base: Tensor, donor: Tensor, alpha: float) -> Tensor:
    """The weighted mean of those values that have the sign of the weighted sum; 0 where the sum is 0.

    A value of 0 has no sign and does not count. The weights are 1 - alpha and alpha.
    """
    ours, theirs = base.mul(1 - alpha), donor.mul(alpha)
    elected = (ours + theirs).sign_()
    base_agrees, donor_agrees = (ours * elected) > 0, (theirs * elected) > 0
    total = ours.mul_(base_agrees).add_(theirs.mul_(donor_agrees))
    weight = base_agrees.float().mul_(1 - alpha).add_(donor_agrees.float().mul_(alpha))
    return total.div_(weight).masked_fill_(weight == 0, 0)
