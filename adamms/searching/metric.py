"""Which criterion settings mean that leave it open."""

from dataclasses import replace
from typing import TypeVar

from adamms.searching.config import AUTO, StudySettings
from adamms.searching.weights_settings import searches_weights
from adamms.selecting.criteria import PAPER, get_criterion

Settings = TypeVar("Settings", bound=StudySettings)


def with_metric(settings: Settings) -> Settings:
    """The settings with `searching.metric` as the criterion's own name."""
    return replace(settings, searching=replace(settings.searching, metric=metric_of(settings)))


def metric_of(settings: StudySettings) -> str:
    """The criterion's own name; for `auto` that of what is best supported (docs/evidence.md): logprob+parents; the
    paper's where a search may stop early, since parents score once all is answered, and for several donors' weights,
    where it was better than logprob (which `searching.trials` need).

    Raises:
        UserError: there is no such criterion.
    """
    searching = settings.searching
    name = searching.metric
    if name == AUTO:
        several = searches_weights(settings) or searching.donor
        name = "logprob" if searching.trials else PAPER if several or searching.stop != "never" else "logprob+parents"
    return get_criterion(name).name
