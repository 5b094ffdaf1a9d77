"""How a plan is executed."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from adamms.mapping.config import PairSettings
from adamms.support.ray_session import RayConfig


class Backend(StrEnum):
    """Where a merge runs."""

    auto = "auto"
    local = "local"
    ray = "ray"


@dataclass(frozen=True)
class MergingConfig:
    method: str = "linear"
    density: float | None = None
    """Share of each task vector that is kept, 0 to 1 (ties, dare_*, della, breadcrumbs); None: the method's own."""
    scale: float | None = None
    """What the merged task vector is multiplied with before it is added to the ancestor (lambda in the papers)."""
    trim_over: str | None = None
    """ties: what the density is a share of: the whole `model` (as its authors do) or each `tensor`."""
    gamma: float | None = None
    """breadcrumbs: share of each task vector, of the largest magnitudes, that is dropped."""
    epsilon: float | None = None
    """della: the share kept goes from density - epsilon (smallest magnitude) to density + epsilon (largest)."""
    seed: int | None = None
    """dare_*, della: of what is dropped at random."""
    backend: Backend = Backend.auto
    """auto: Ray tasks where `ray.address` (or RAY_ADDRESS) names a cluster, else threads of this process."""
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
