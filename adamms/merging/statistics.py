"""What a method knows about the weights before it merges them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from adamms.mapping.plan import Origin, Piece
from adamms.merging.methods import Statistic


@dataclass(frozen=True)
class Statistics:
    """A few numbers for the whole model, or for each part of it: rows of a base tensor that come from the same tensors.

    Plain data, so that it can be sent to Ray tasks and engines. It does not depend on alpha: gathered once, it serves a
    whole search, unless another coefficient is searched or a donor's weight becomes 0.

    Attributes:
        parts: (base tensor, `Piece.origin`) -> the part's numbers.
    """

    model: Statistic = ()
    parts: Mapping[tuple[str, Origin], Statistic] = field(default_factory=dict)

    def of(self, tensor: str, piece: Piece) -> Statistic:
        """The numbers for the rows of base tensor `tensor` that come from the same tensors as a piece of it."""
        return self.parts.get((tensor, piece.origin), self.model)


NONE = Statistics()
