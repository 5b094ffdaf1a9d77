"""Settings of the experiments on tiny pairs."""

from dataclasses import dataclass, field

from adamms.engines.config import EngineConfig
from adamms.searching.config import SearchingConfig
from adamms.support.logs import LogConfig
from adamms.support.ray_session import RayConfig


@dataclass(frozen=True)
class CasesSettings:
    """What is asked of each pair."""

    tasks: tuple[str, ...] = ()
    """Files of its prompts, without `.jsonl`; all that it has where none are named."""
    prompts: int = 100
    """How many unlabelled prompts of each task, at most."""
    labelled: int = 300
    """How many labelled prompts of each task are answered, at most."""
    baselines: tuple[str, ...] = ()
    """Other merge methods that are judged beside the candidates, each with its own defaults."""
    engine: EngineConfig = field(default_factory=EngineConfig)
    searching: SearchingConfig = field(default_factory=SearchingConfig)
    ray: RayConfig = field(default_factory=RayConfig)
    log: LogConfig = field(default_factory=LogConfig)


@dataclass(frozen=True)
class ReproduceSettings(CasesSettings):
    """Settings of the comparison with the labels, on pairs of the shipped recipe."""

    seeds: tuple[int, ...] = (1, 2, 3)
    folder: str = "runs/reproduce"
    """Where pairs and answers are kept; what is there is not made again."""


@dataclass(frozen=True)
class FamilySettings(CasesSettings):
    """Settings of the comparison of ways to weigh several donors."""

    seeds: tuple[int, ...] = (1, 2, 3)
    metrics: tuple[str, ...] = ("logprob", "either")
    """Each is searched by; the first also beside labels."""
    prompts: int = 25
    few: int = 6
    """Labelled prompts of each task that a search with labels is told; `labelled` others judge."""
    folder: str = "runs/family"
    """Where families and answers are kept; what is there is not made again."""


@dataclass(frozen=True)
class CriteriaSettings(CasesSettings):
    """Settings of the comparison of criteria."""

    pairs: tuple[str, ...] = ("complementary-1",)
    """Recipe and seed of each."""
    criteria: tuple[str, ...] = ("either", "logprob+parents")
    """Each is compared with the first."""
    methods: dict[str, list[float]] = field(default_factory=dict)
    """Other merge methods to choose among, beside the candidates of linear interpolation -> their alphas."""
    mixtures: int = 30
    """Of each pair: cases that mix questions of several tasks, as benchmarks do."""
    few: tuple[int, ...] = (20,)
    """Of how many labels a search is told, beside its unlabelled prompts."""
    spare: int = 60
    """Of each task's labelled prompts, how many are for that; no choice is judged by them."""
    draws: int = 5
    """How often those few are drawn; what they choose counts on average."""
    folder: str = "runs/criteria"
    """Where pairs and answers are kept; what is there is not made again."""
    results: str = "${folder}/results"
    """Where each pair's choices are written, one JSON file a pair, and the table of all."""
