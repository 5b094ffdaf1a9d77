"""From settings to a plan: the first step of `adamms map`, of a merge and of a search."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from adamms.addresses import mask
from adamms.checkpoint import Checkpoint, open_checkpoint
from adamms.errors import UserError
from adamms.mapping.ancestry import check_ancestry
from adamms.mapping.combine import combine
from adamms.mapping.config import MappingConfig, PairSettings
from adamms.mapping.plan import MergePlan, TensorPlan, titled
from adamms.mapping.planner import identify, plan_merge, view_of


class PlannedPair(NamedTuple):
    """A checked plan, the checkpoints that it was made from, and how they were mapped."""

    plan: MergePlan
    base: Checkpoint
    donors: tuple[Checkpoint, ...]
    ancestor: Checkpoint | None = None
    mapping: MappingConfig = MappingConfig()

    @property
    def models(self) -> list[Checkpoint]:
        """All of them, the base first and the ancestor, if there is one, last."""
        return [self.base, *self.donors, *([self.ancestor] if self.ancestor is not None else [])]

    @property
    def titled(self) -> list[tuple[str, Checkpoint]]:
        """Each with what it is: base, donor (or `donor 1`, `donor 2`, ...), ancestor."""
        return titled(self.base, self.donors, self.ancestor)


def plan_pair(settings: PairSettings, *, weights: bool = True) -> PlannedPair:
    """Opens the models, plans the merge, and checks that they share an ancestor: the one that is given, if one is.

    Args:
        weights: False to fetch of a remote model's weights only headers and samples, which is enough to plan.

    Raises:
        UserError: a model cannot be found or fetched, some of the donors cannot be merged (all that is wrong with any
            of them), or the base did not grow from the ancestor.
    """
    opened = partial(open_checkpoint, weights=weights, full=settings.mapping.full_digest)
    base, donors = opened(settings.base), tuple(map(opened, settings.all_donors))
    ancestor = opened(settings.ancestor) if settings.ancestor else None
    plans, problems = [], []
    for number, donor in enumerate(donors):
        mapping = settings.mapping_of(number)
        try:
            plan = plan_merge(base, donor, mapping, ancestor)
            plans.append(replace(plan, notes=(*plan.notes, check_ancestry(plan, base, donor, mapping.ancestry_check))))
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise UserError.from_problems(list(dict.fromkeys(problems)))
    _check_different(donors)
    origin = _check_origin(plans[0], base, ancestor, settings.mapping.ancestry_check)
    pair = PlannedPair(combine(plans), base, donors, ancestor, settings.mapping)
    found = [note for model in pair.models for note in model.notes]
    for note in found:
        print(mask(note), file=sys.stderr)
    return pair._replace(plan=replace(pair.plan, notes=(*found, *pair.plan.notes, *origin)))


def _check_origin(plan: MergePlan, base: Checkpoint, ancestor: Checkpoint | None, mode: str) -> tuple[str, ...]:
    """Notes on whether the base, and so the donors that are related to it, grew from the ancestor, if there is one."""
    if ancestor is None or mode == "off":
        return ()
    return (check_ancestry(plan, base, ancestor, mode, "ancestor"),)


def _check_different(donors: Sequence[Checkpoint]) -> None:
    """Raises UserError where two donors are one model under two names."""
    for i, donor in enumerate(donors):
        same = next((one for one in donors[:i] if one.digest == donor.digest), None)
        if same is not None:
            raise UserError(f"donors: {donor.location} is the same model as {same.location}; name each once")


def plan_alone(model: Checkpoint) -> MergePlan:
    """A plan that keeps every tensor of a model, so that an engine can answer with a parent alone."""
    identity = identify(model, view_of(model, None, "donor"))
    tensors = tuple(TensorPlan(t.name, t.dtype, t.shape, "", reason="alone") for t in model.tensors.values())
    return MergePlan(identity, (identity,), None, tensors, ({},))
