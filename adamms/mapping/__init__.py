"""Step 1 of the method: which rows of which donor tensor belong to each base tensor (paper, section 3.1)."""

from adamms.mapping.pair import Pair, open_pair
from adamms.mapping.plan import MergePlan, ModelIdentity, Piece, TensorPlan
from adamms.mapping.planner import plan_merge

__all__ = ["MergePlan", "ModelIdentity", "Pair", "Piece", "TensorPlan", "open_pair", "plan_merge"]
