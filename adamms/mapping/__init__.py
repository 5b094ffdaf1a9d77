"""Step 1 of the method: which rows of which donor tensor belong to each base tensor (paper, section 3.1)."""

from adamms.mapping.pair import PlannedPair, plan_pair
from adamms.mapping.plan import MergePlan, ModelIdentity, Piece, Source, TensorPlan
from adamms.mapping.planner import plan_merge

__all__ = ["MergePlan", "ModelIdentity", "Piece", "PlannedPair", "Source", "TensorPlan", "plan_merge", "plan_pair"]
