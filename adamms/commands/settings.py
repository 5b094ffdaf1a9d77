"""The settings of each command: those of the rooms, put together."""

from dataclasses import dataclass, field

from adamms.judging.lmms_eval import LmmsEvalConfig
from adamms.mapping.config import PairSettings
from adamms.merging.config import MergeSettings
from adamms.prompts.config import LabelledConfig
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

    alpha: float | str | None = None
    """The donor's weight, 0 to 1, or that of each of several donors: 0.3,0.2; metagpt and model_stock find it."""
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
class EvaluateSettings(StudySettings):
    """Settings of judging a search by labelled prompts."""

    labelled: LabelledConfig = field(default_factory=LabelledConfig)
    """May be left out where lmms_eval.tasks are given."""
    baselines: tuple[str, ...] = ()
    """Other methods to judge beside the candidates, with their defaults: task_arithmetic, ties, dare_linear, ..."""
    lmms_eval: LmmsEvalConfig = field(default_factory=LmmsEvalConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    log: LogConfig = field(default_factory=LogConfig)
