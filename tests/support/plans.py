"""A plan from what `adamms map --json` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adamms.mapping import MergePlan, ModelIdentity, Piece, TensorPlan


def plan_from_dict(data: Mapping[str, Any]) -> MergePlan:
    """The plan that `to_dict` was called on."""
    tensors = [
        TensorPlan(**{**t, "shape": tuple(t["shape"]), "pieces": tuple(Piece(**p) for p in t["pieces"])})
        for t in data["tensors"]
    ]
    ancestor = data["ancestor"]
    return MergePlan(
        base=ModelIdentity(**data["base"]),
        donor=ModelIdentity(**data["donor"]),
        ancestor=ModelIdentity(**ancestor) if ancestor else None,
        tensors=tuple(tensors),
        unused=dict(data["unused"]),
        notes=tuple(data["notes"]),
        warnings=tuple(data["warnings"]),
    )
