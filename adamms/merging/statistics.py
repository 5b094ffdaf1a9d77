"""What a method found out about the weights before it merges them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from adamms.merging.methods import Found


@dataclass(frozen=True)
class Statistics:
    """A few numbers for the whole model, or for each part of it: rows of a base tensor that come from one donor tensor.

    Plain data, so that it can be sent to Ray tasks and engines. It does not depend on alpha: one measurement serves a
    whole search, unless that walks over another coefficient.
    """

    model: Found = ()
    parts: Mapping[tuple[str, str], Found] = field(default_factory=dict)

    def of(self, tensor: str, donor: str) -> Found:
        """What is known of the rows of base tensor `tensor` that come from the donor's `donor`."""
        return self.parts.get((tensor, donor), self.model)


NONE = Statistics()
