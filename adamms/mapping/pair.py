"""The one way from settings to a plan: what `adamms map`, a merge and a search all start with."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from adamms.checkpoint import Checkpoint
from adamms.mapping.ancestry import check_ancestry
from adamms.mapping.plan import MergePlan, TensorPlan
from adamms.mapping.planner import identify, plan_merge, view_of

if TYPE_CHECKING:
    from adamms.mapping.config import PairSettings


class PlannedPair(NamedTuple):
    """A checked plan and the checkpoints that it was made from."""

    plan: MergePlan
    base: Checkpoint
    donor: Checkpoint
    ancestor: Checkpoint | None


def plan_pair(settings: PairSettings, *, weights: bool = True) -> PlannedPair:
    """Opens the models, plans the merge, and checks that they share an ancestor.

    Args:
        weights: False where they are only looked at: of a remote model, headers and samples are fetched.

    Raises:
        UserError: a model cannot be had, or the two cannot be merged.
    """
    base = Checkpoint.open(settings.base, weights=weights)
    donor = Checkpoint.open(settings.donor, weights=weights)
    ancestor = Checkpoint.open(settings.ancestor, weights=weights) if settings.ancestor else None
    plan = plan_merge(base, donor, settings.mapping, ancestor)
    ancestry = check_ancestry(plan, base, donor, settings.mapping.ancestry_check)
    return PlannedPair(replace(plan, notes=(*plan.notes, ancestry)), base, donor, ancestor)


def plan_alone(model: Checkpoint) -> MergePlan:
    """The plan that leaves a model as it is: for asking a parent the same questions as the candidates."""
    identity = identify(model, view_of(model, None, "donor"))
    tensors = tuple(TensorPlan(t.name, t.dtype, t.shape, "", reason="alone") for t in model.tensors.values())
    return MergePlan(identity, identity, None, tensors)
