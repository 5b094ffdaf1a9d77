"""Engine specifications of tiny pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adamms.checkpoint import Checkpoint
from adamms.config import EngineConfig, EngineKind, MappingConfig
from adamms.generation.engine import EngineSpec
from adamms.mapping import plan_merge

SMALL = {"max_model_len": 512, "kv_cache_gb": 0.02}


def tiny_spec(base: Path, donor: Path, **config: Any) -> EngineSpec:
    """A spec with a small engine; `config` goes over it."""
    plan = plan_merge(Checkpoint.open(str(base)), Checkpoint.open(str(donor)), MappingConfig())
    settings = {"kind": EngineKind.transformers, "max_tokens": 12, **SMALL, **config}
    return EngineSpec(plan, EngineConfig(**settings))
