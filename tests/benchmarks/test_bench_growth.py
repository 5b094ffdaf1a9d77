"""The growth benchmark: what it calls worse than linear, and one small size of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.benchmarks.bench_growth import STEPS, Cell, exponents_of, measure, report


def row(seconds: float, **others: float) -> dict[str, Any]:
    found = {key: value for step in STEPS for key, value in ((step, seconds), (f"{step} CPU", seconds))}
    return {**found, **{f"{step} MB": 0.0 for step in STEPS}, "report bytes": 1000, "opens": 0.5, **others}


def test_what_grows_worse_than_linearly_is_named() -> None:
    found = {
        Cell(100, 7, 1): row(2.0),
        Cell(1000, 7, 1): row(20.0, **{"select CPU": 90.0, "read MB": 500.0}),
        Cell(10000, 7, 1): row(150.0, **{"select CPU": 900.0, "read MB": 5000.0}),
        Cell(100, 70, 1): row(25.0),
    }
    worse, table = exponents_of(found)
    assert worse == [
        "- **worse than linear**: memory of read, prompts 100 -> 1,000, candidates 7, tasks 1: exponent 1.22",
        "- **worse than linear**: time of select, prompts 100 -> 1,000, candidates 7, tasks 1: exponent 1.65",
    ]
    assert table[-3:] == [
        "| prompts 100 -> 1,000, candidates 7, tasks 1 | 1.00 / 1.22 | 1.65 / - | 1.00 / - | 1.00 / - |",
        "| prompts 1,000 -> 10,000, candidates 7, tasks 1 | 0.88 / 1.00 | 1.00 / - | 0.88 / - | 0.88 / - |",
        "| candidates 7 -> 70, prompts 100, tasks 1 | 1.10 / - | 1.10 / - | 1.10 / - | 1.10 / - |",
    ]


def test_a_report_that_opens_too_slowly_is_named() -> None:
    text = report({Cell(100, 7, 1): row(2.0), Cell(1000, 7, 1): row(3.0, opens=2.5)}, "Machine: a laptop.")
    assert "nothing grows worse than linearly" in text
    assert "open in more than 2 s: Cell(prompts=1000, candidates=7, tasks=1)" in text
    assert "| 1,000 | 7 | 1 | 3.0 / 3.00 / 0 |" in text


@pytest.mark.slow
def test_one_size() -> None:
    found = measure(Cell(prompts=40, candidates=7, tasks=2))
    assert found["items"] > 7 * 10, "params, tags and metrics of every candidate"
    assert found["report bytes"] > 10_000
    assert all(found[step] > 0 for step in STEPS)
    assert found["opens"] is None or found["opens"] > 0
