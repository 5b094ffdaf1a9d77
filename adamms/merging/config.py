"""Settings of a merge."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from adamms.mapping.config import PairSettings
from adamms.support.ray_session import RayConfig


@dataclass(frozen=True)
class MergingConfig:
    MOVED: ClassVar[dict[str, str]] = {
        name: f"merging.options.{name}" for name in ("density", "scale", "trim_over", "gamma", "epsilon", "seed")
    }
    """Settings that an older file may have -> what they are called now."""

    method: str = "linear"
    """How base and donor are combined: linear, slerp, ties, ... (an unknown name gets the list of all)."""
    options: dict[str, Any] = field(default_factory=dict)
    """The method's own coefficients besides alpha, such as merging.options.density=0.3; what is not given takes the
    method's default."""
    backend: Literal["auto", "local", "ray"] = "auto"
    """auto: Ray tasks if `ray.address` (or RAY_ADDRESS) names a cluster, else threads of this process."""
    workers: int = 0
    """Threads (of this process, or of each Ray task) that read, merge and write; 0: one a core, on Ray one."""
    gpus_per_task: float = 0.0
    """Share of a GPU that each Ray task merges on (without Ray, more than 0: this machine's GPU); 0: on CPUs."""
    max_shard_size: str | None = None
    """Largest output file, such as 5GB; None: sharded as the base is."""


@dataclass(frozen=True)
class MergeSettings(PairSettings):
    """Settings of a merge."""

    merging: MergingConfig = field(default_factory=MergingConfig)
    ray: RayConfig = field(default_factory=RayConfig)
