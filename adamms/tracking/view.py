"""A page of charts about one search, set up beforehand: MLflow keeps such a page as a tag of the experiment, as its
button *Share* writes it, and shows it to whoever follows a link with the page's key."""

import hashlib
from collections.abc import Sequence
from typing import Any

TAG = "mlflow.sharedViewState."
"""Begins the name of the tag; the page's key ends it."""


def view_key(search: str) -> str:
    """Of the page about a search, from the key of the search."""
    return hashlib.sha256(search.encode()).hexdigest()[:16]


def view_address(experiment: str, key: str) -> str:
    """Where MLflow shows the page, below its own address."""
    return f"#/experiments/{experiment}/runs?compareRunsMode=CHART&viewStateShareKey={key}"


def charts_of(search: str, coefficient: str, curve: str, metrics: Sequence[str]) -> dict[str, Any]:
    """The page: the criterion over the coefficient, each metric of the candidates, and all of them in one chart.

    Args:
        search: key of the search, whose runs alone are listed, in the order of alpha.
        coefficient: the param that the candidates differ in.
        curve: the metric of the search that is the criterion, step by step.
        metrics: of the candidates, the criterion first.
    """
    section = {"uuid": "search", "name": "Search", "display": True, "isReordered": True, "isGenerated": False}
    section |= {"deleted": False, "columns": 2}
    across = {"selectedParams": [coefficient], "selectedMetrics": list(metrics), "showAllRuns": True}
    charts = [
        _chart("LINE", curve, metricKey=curve, selectedMetricKeys=[curve], displayPoints=True, **LINE),
        *(_scatter(coefficient, metric) for metric in metrics),
        _chart("PARALLEL", "all candidates", **across),
    ]
    return {
        "searchFilter": f"tags.`adamms.search` = '{search}'",
        "orderByKey": "params.`alpha`",
        "orderByAsc": True,
        "runsHiddenMode": "SHOW_ALL",
        "compareRunSections": [section],
        "compareRunCharts": charts,
    }


LINE = {"xAxisKey": "step", "useGlobalXaxisKey": True, "lineSmoothness": 0, "scaleType": "linear", "range": {}}


def _scatter(coefficient: str, metric: str) -> dict[str, Any]:
    axes = {"xaxis": {"key": coefficient, "type": "PARAM"}, "yaxis": {"key": metric, "type": "METRIC"}}
    return _chart("SCATTER", f"{metric} by {coefficient}", runsCountToCompare=100, **axes)


def _chart(kind: str, title: str, **more: Any) -> dict[str, Any]:
    known = {"uuid": title, "type": kind, "metricSectionId": "search"}
    return {"runsCountToCompare": 10, "deleted": False, "isGenerated": False} | known | more
