"""Which searches a sweep has."""

from dataclasses import dataclass, field
from typing import Any

from adamms.engines.config import EngineConfig
from adamms.mapping.config import MappingConfig
from adamms.merging.config import MergingConfig
from adamms.prompts.config import PromptsConfig
from adamms.searching.config import BudgetConfig, SearchingConfig
from adamms.support.ray_session import RayConfig


@dataclass(frozen=True)
class SweepConfig:
    pairs: dict[str, Any] = field(default_factory=dict)
    """Name -> the YAML file of a pair, or the pair's own settings: base, donor, and whatever differs (mapping.*, ...).
    """
    methods: tuple[str, ...] = ("linear",)
    """Each pair is searched with each of them."""
    lanes: int = 0
    """Searches that run side by side, each with `engine.actors` engines; 0: as many as the cluster now has GPUs for
    (or cores, with engine.cpus), at least one."""


@dataclass(frozen=True)
class StudiesSettings:
    """Settings of many studies: those of all of them, and the pairs and methods."""

    ancestor: str | None = None
    """Of every pair that does not name its own."""
    run_dir: str = "runs/sweep"
    """Each study has its folder in it: PAIR/METHOD."""
    sweep: SweepConfig = field(default_factory=SweepConfig)
    mapping: MappingConfig = field(default_factory=MappingConfig)
    merging: MergingConfig = field(default_factory=MergingConfig)
    prompts: PromptsConfig = field(default_factory=PromptsConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    searching: SearchingConfig = field(default_factory=SearchingConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    ray: RayConfig = field(default_factory=RayConfig)
