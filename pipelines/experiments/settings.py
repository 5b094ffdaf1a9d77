"""Settings of the experiments on tiny pairs."""

from dataclasses import dataclass, field

from adamms.engines.config import EngineConfig
from adamms.searching.config import SearchingConfig
from adamms.support.logs import LogConfig
from adamms.support.ray_session import RayConfig


@dataclass(frozen=True)
class ReproduceSettings:
    """Settings of the comparison on the tiny pair."""

    seeds: tuple[int, ...] = (1, 2, 3)
    tasks: tuple[str, ...] = ("position-fruit",)
    baselines: tuple[str, ...] = ("task_arithmetic", "ties", "dare_linear", "dare_ties", "metagpt")
    """Judged beside the chosen candidates."""
    labelled: int = 300
    """How many labelled prompts of each task are judged by, at most."""
    criteria: tuple[str, ...] = (
        "either",
        "sum",
        "edit",
        "plurality",
        "either+plurality",
        "logprob",
        "kl",
        "donor",
        "either+logprob",
        "logprob+donor",
    )
    """What `pipelines/experiments/criteria.py` compares, each with the first."""
    folder: str = "runs/reproduce"
    engine: EngineConfig = field(default_factory=EngineConfig)
    searching: SearchingConfig = field(default_factory=SearchingConfig)
    ray: RayConfig = field(default_factory=RayConfig)
    log: LogConfig = field(default_factory=LogConfig)
