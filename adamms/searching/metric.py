"""Which criterion settings mean that leave it open; and which settings a search would not follow."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

from adamms.errors import UserError
from adamms.searching.config import AUTO, StudySettings
from adamms.searching.weights_settings import searches_weights
from adamms.selecting.criteria import PAPER, get_criterion
from adamms.selecting.divergence import endpoints_of

Settings = TypeVar("Settings", bound=StudySettings)


def with_metric(settings: Settings) -> Settings:
    """The settings with `searching.metric` as the criterion's own name.

    Raises:
        UserError: there is no such criterion, or settings that this search would not follow.
    """
    if problems := list(_unfollowed(settings)):
        raise UserError.from_problems(problems)
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


def _unfollowed(settings: StudySettings) -> Iterator[str]:
    searching = settings.searching
    if searching.trials and not searching.donor and not searches_weights(settings):
        yield (
            f"searching.trials={searching.trials}: proposes weights of several donors, but here one coefficient is "
            "searched; leave it out"
        )
    if searching.grids and not searching.methods:
        yield "searching.grids: gives methods of searching.methods their values; give searching.alphas instead"
    criterion = get_criterion(metric_of(settings))
    ends = endpoints_of(criterion, searching.endpoints, labels=bool(searching.labels))
    if searching.extend and ends == "exclude":
        yield (
            f"searching.extend: searching.metric={criterion.name} never chooses the lowest or the highest candidate, "
            "so the range would not grow; set searching.endpoints=one_sided as well, or leave it out"
        )
