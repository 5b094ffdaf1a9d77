"""What a method knows about the weights before it merges them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from adamms.mapping.rows import Turned
from adamms.merging.methods import Statistic


@dataclass(frozen=True)
class Statistics:
    """A few numbers for the whole model, or for each part of it: rows of a base tensor that come from one donor tensor.

    Plain data, so that it can be sent to Ray tasks and engines. It does not depend on alpha: gathered once, it serves a
    whole search, unless another coefficient is searched.

    Attributes:
        parts: (base tensor, donor tensor) -> the part's numbers.
    """

    model: Statistic = ()
    parts: Mapping[tuple[str, str | Turned], Statistic] = field(default_factory=dict)

    def of(self, tensor: str, donor: str | Turned) -> Statistic:
        """The numbers for the rows of base tensor `tensor` that come from the donor's tensor `donor`."""
        return self.parts.get((tensor, donor), self.model)


NONE = Statistics()
