"""TIES: trim, elect a sign, merge what agrees."""

from collections.abc import Sequence
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
        trimmed = [
            vector.masked_fill_(vector.abs() < statistic[place], 0)
            for vector, place in zip(x.task_vectors(), x.places, strict=True)
        ]
        return add_to_ancestor(x, elected_mean(trimmed, self.weights(x)), self.scale)

    def ranks(self, total: int) -> tuple[int]:
        """Of the smallest value kept."""
        return (round(self.density * total),)


def elected_mean(vectors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """The weighted mean of those values that have the sign of the weighted sum of all; 0 where the sum is 0.

    A value of 0 has no sign and does not count.
    """
    weighted = [vector.mul(weight) for vector, weight in zip(vectors, weights, strict=True)]
    elected = _added(weighted).sign_()
    agreeing = [(one * elected) > 0 for one in weighted]
    total = _added([one.mul_(agrees) for one, agrees in zip(weighted, agreeing, strict=True)])
    weight = _added([agrees.float().mul_(own) for agrees, own in zip(agreeing, weights, strict=True)])
    return total.div_(weight).masked_fill_(weight == 0, 0)


def _added(terms: Sequence[Tensor]) -> Tensor:
    """Their sum, in the order given, as a new tensor."""
    return sum(terms[2:], start=terms[0] + terms[1])
