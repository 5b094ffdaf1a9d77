"""Settings of a merge."""

import math
import re
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from adamms.errors import UserError
from adamms.mapping.config import PairSettings
from adamms.support.ray_session import RayConfig

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
LARGEST_SHARD = 10**15


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

    def __post_init__(self) -> None:
        """Raises UserError for numbers that are none of threads, GPUs or bytes."""
        if self.workers < 0:
            raise UserError(f"merging.workers={self.workers}: expected a number of threads, or 0: one a core")
        if not 0 <= self.gpus_per_task < math.inf:
            raise UserError(f"merging.gpus_per_task={self.gpus_per_task}: expected a share of a GPU, or 0: none")
        if self.max_shard_size is not None:
            parse_size(self.max_shard_size)


def parse_size(text: str) -> int:
    """Bytes of '5GB', '500 MB', '2GiB' or '1000000'.

    Raises:
        UserError: the text is no such size, or no file should have it.
    """
    match = re.fullmatch(r"\s*(\d{1,20}(?:\.\d{1,20})?)\s*([KMG]?i?B?)\s*", text, re.IGNORECASE | re.ASCII)
    unit = match.group(2).upper() if match else "?"
    size = int(float(match.group(1)) * _UNITS[unit]) if match and unit in _UNITS else 0
    if not 0 < size <= LARGEST_SHARD:
        raise UserError(f"merging.max_shard_size={text[:100]}: expected a size such as 5GB or 500MB")
    return size


@dataclass(frozen=True)
class MergeSettings(PairSettings):
    """Settings of a merge."""

    merging: MergingConfig = field(default_factory=MergingConfig)
    ray: RayConfig = field(default_factory=RayConfig)
