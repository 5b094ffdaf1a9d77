"""Which searches a sweep has."""

from dataclasses import dataclass, field
from typing import Any

from adamms.searching.config import StudySettings


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
class StudiesSettings(StudySettings):
    """Settings of many studies: those of all of them, and the pairs and methods."""

    base: str = ""
    """Of every pair that does not name its own; likewise `donor` and `ancestor`."""
    donor: str = ""
    run_dir: str = "runs/sweep"
    """Each study has its folder in it: PAIR/METHOD."""
    sweep: SweepConfig = field(default_factory=SweepConfig)

    def __post_init__(self) -> None:
        """Every pair says what is merged; here there may be nothing."""
        self._expand_run_dir()
