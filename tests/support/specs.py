"""Engine specifications of tiny pairs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from adamms.checkpoint import open_checkpoint
from adamms.engines.config import EngineConfig
from adamms.engines.engine import EngineSpec
from adamms.mapping import MergePlan, plan_merge
from adamms.mapping.config import MappingConfig

SMALL = {"max_model_len": 512, "kv_cache_gb": 0.02}


def tiny_spec(base: Path | str, donor: Path | str, **config: Any) -> EngineSpec:
    """A spec with a small engine; `config` goes over it."""
    plan = plan_merge(open_checkpoint(str(base)), open_checkpoint(str(donor)), MappingConfig())
    settings = {"kind": "transformers", "max_tokens": 12, **SMALL, **config}
    return EngineSpec(plan, EngineConfig(**settings))


def without(plan: MergePlan, part: str) -> MergePlan:
    """The plan with every tensor kept that has `part` in its name."""
    kept = (replace(tensor, pieces=(), reason="kept") if part in tensor.name else tensor for tensor in plan.tensors)
    return replace(plan, tensors=tuple(kept))
