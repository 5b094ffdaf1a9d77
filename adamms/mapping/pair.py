"""From settings to a plan: the first step of `adamms map`, of a merge and of a search."""

import sys
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from adamms.checkpoint import Checkpoint, open_checkpoint
from adamms.mapping.ancestry import check_ancestry
from adamms.mapping.config import PairSettings
from adamms.mapping.plan import MergePlan, TensorPlan
from adamms.mapping.planner import identify, plan_merge, view_of


class PlannedPair(NamedTuple):
    """A checked plan and the checkpoints that it was made from."""

    plan: MergePlan
    base: Checkpoint
    donor: Checkpoint
    ancestor: Checkpoint | None = None


def plan_pair(settings: PairSettings, *, weights: bool = True) -> PlannedPair:
    """Opens the models, plans the merge, and checks that they share an ancestor.

    Args:
        weights: False to fetch of a remote model's weights only headers and samples, which is enough to plan.

    Raises:
        UserError: a model cannot be found or fetched, or the two cannot be merged.
    """
    opened = partial(open_checkpoint, weights=weights, full=settings.mapping.full_digest)
    base, donor = opened(settings.base), opened(settings.donor)
    ancestor = opened(settings.ancestor) if settings.ancestor else None
    plan = plan_merge(base, donor, settings.mapping, ancestor)
    ancestry = check_ancestry(plan, base, donor, settings.mapping.ancestry_check)
    found = [note for model in (base, donor, ancestor) if model is not None for note in model.notes]
    for note in found:
        print(note, file=sys.stderr)
    return PlannedPair(replace(plan, notes=(*found, *plan.notes, ancestry)), base, donor, ancestor)


def plan_alone(model: Checkpoint) -> MergePlan:
    """A plan that keeps every tensor of a model, so that an engine can answer with a parent alone."""
    identity = identify(model, view_of(model, None, "donor"))
    tensors = tuple(TensorPlan(t.name, t.dtype, t.shape, "", reason="alone") for t in model.tensors.values())
    return MergePlan(identity, identity, None, tensors)
