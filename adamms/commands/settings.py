"""The settings of each command: those of the rooms, put together."""

from __future__ import annotations

from dataclasses import dataclass, field

from adamms.judging.config import JudgingSettings
from adamms.mapping.config import PairSettings
from adamms.merging.config import MergeSettings
from adamms.searching.config import StudySettings
from adamms.support.logs import LogConfig
from adamms.sweeping.config import StudiesSettings
from adamms.tracking.config import TrackingConfig


@dataclass(frozen=True)
class MapSettings(PairSettings):
    """Settings of `adamms map`."""

    log: LogConfig = field(default_factory=LogConfig)


@dataclass(frozen=True)
class MergeJobSettings(MergeSettings):
    """Settings of `pipelines/merge.py`."""

    alpha: float | None = None
    """The donor's weight, 0 to 1; metagpt and model_stock find it."""
    output: str = "runs/merged"
    """Folder to write; it appears complete or not at all."""
    smoke: bool = False
    """Load the result and ask it one question first."""
    log: LogConfig = field(default_factory=LogConfig)


@dataclass(frozen=True)
class SearchSettings(StudySettings):
    """Settings of a search."""

    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    log: LogConfig = field(default_factory=LogConfig)


@dataclass(frozen=True)
class SweepSettings(StudiesSettings):
    """Settings of a sweep."""

    tracking: TrackingConfig = field(default_factory=lambda: TrackingConfig(experiment="sweep"))
    log: LogConfig = field(default_factory=LogConfig)


@dataclass(frozen=True)
class EvaluateSettings(JudgingSettings):
    """Settings of judging a search by labelled prompts."""

    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    log: LogConfig = field(default_factory=LogConfig)
