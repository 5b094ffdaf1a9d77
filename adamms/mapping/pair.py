"""Two models opened, and the plan that merges them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from adamms.checkpoint import Checkpoint
from adamms.mapping.plan import MergePlan, TensorPlan
from adamms.mapping.planner import identify, plan_merge, view_of

if TYPE_CHECKING:
    from adamms.config import MapSettings


@dataclass(frozen=True)
class Pair:
    """Base, donor, and what happens to every tensor of the base."""

    base: Checkpoint
    donor: Checkpoint
    plan: MergePlan


def open_pair(settings: MapSettings) -> Pair:
    """Step 1 whole: opens both models and plans the merge, from headers and configs alone.

    Raises:
        UserError: a model is not there, not recognised, or does not correspond to the other.
    """
    base, donor = Checkpoint.open(settings.base), Checkpoint.open(settings.donor)
    ancestor = Checkpoint.open(settings.ancestor) if settings.ancestor else None
    return Pair(base, donor, plan_merge(base, donor, settings.mapping, ancestor))


def plan_alone(model: Checkpoint) -> MergePlan:
    """The plan that leaves a model as it is: for asking a parent the same questions as the candidates."""
    identity = identify(model, view_of(model, None))
    tensors = tuple(TensorPlan(t.name, t.dtype, t.shape, "", reason="alone") for t in model.tensors.values())
    return MergePlan(identity, identity, None, tensors)
