"""A plan from what `adamms map --json` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adamms.mapping import MergePlan, ModelIdentity, Piece, Source, TensorPlan


def plan_from_dict(data: Mapping[str, Any]) -> MergePlan:
    """The plan that `to_dict` was called on."""
    tensors = [
        TensorPlan(**{**t, "shape": tuple(t["shape"]), "pieces": tuple(map(_piece, t["pieces"]))})
        for t in data["tensors"]
    ]
    ancestor = data["ancestor"]
    return MergePlan(
        base=ModelIdentity(**data["base"]),
        donors=tuple(ModelIdentity(**donor) for donor in data.get("donors") or [data["donor"]]),
        ancestor=ModelIdentity(**ancestor) if ancestor else None,
        tensors=tuple(tensors),
        unused=tuple(data["unused"]) if "donors" in data else (dict(data["unused"]),),
        notes=tuple(data["notes"]),
        warnings=tuple(data["warnings"]),
    )


def _piece(data: Mapping[str, Any]) -> Piece:
    sources = data.get("sources") or [{"tensor": data["donor"], "start": data["donor_start"]}]
    found = tuple(Source(**source) for source in sources)
    return Piece(data["start"], data["stop"], found, data["ancestor"], data["ancestor_start"])
