"""Which criterion is meant where settings leave it open."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adamms.errors import UserError
from adamms.searching.config import SearchingConfig, StudySettings
from adamms.searching.metric import with_metric

PAIR = StudySettings(base="base", donor="donor")
SEVERAL = StudySettings(base="base", donors=("one", "other"))


@pytest.mark.parametrize(
    ("settings", "searching", "meant"),
    [
        (PAIR, {}, "logprob+parents"),
        (PAIR, {"methods": ("linear", "ties")}, "logprob+parents"),
        (PAIR, {"stop": "confident"}, "either"),
        (SEVERAL, {}, "either"),
        (SEVERAL, {"donor": 1}, "either"),
        (SEVERAL, {"trials": 20}, "logprob"),
        (PAIR, {"metric": "paper"}, "either"),
        (PAIR, {"metric": "sum"}, "sum"),
        (PAIR, {"metric": "paper+parents"}, "either+parents"),
    ],
)
def test_what_is_meant(settings: StudySettings, searching: dict[str, object], meant: str) -> None:
    asked = replace(settings, searching=SearchingConfig(**searching))  # type: ignore[arg-type]
    found = with_metric(asked)
    assert found.searching.metric == meant
    assert with_metric(found) == found
    assert replace(found, searching=asked.searching) == asked, "nothing else is changed"


def test_an_unknown_one_is_refused() -> None:
    with pytest.raises(UserError, match="no metric is named 'nothing'"):
        with_metric(replace(PAIR, searching=SearchingConfig(metric="nothing")))


@pytest.mark.parametrize(
    ("searching", "told"),
    [
        ({"trials": 10}, "searching.trials=10: proposes weights of several donors"),
        ({"grids": {"ties": [0.3, 0.5]}}, "searching.grids: gives methods of searching.methods their values"),
        ({"extend": True, "metric": "either"}, "searching.extend: searching.metric=either never chooses"),
    ],
)
def test_what_a_search_would_not_follow_is_refused(searching: dict[str, object], told: str) -> None:
    with pytest.raises(UserError, match=told):
        with_metric(replace(PAIR, searching=SearchingConfig(**searching)))  # type: ignore[arg-type]


@pytest.mark.parametrize("searching", [{"metric": "either", "endpoints": "one_sided"}, {}, {"labels": "few.jsonl"}])
def test_a_range_grows_where_its_ends_may_be_chosen(searching: dict[str, object]) -> None:
    config = SearchingConfig(extend=True, **searching)  # type: ignore[arg-type]
    assert with_metric(replace(PAIR, searching=config)).searching.extend
