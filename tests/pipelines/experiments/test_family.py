"""The comparison of ways to weigh several donors, on the shipped pair and two donors that hardly learned anything."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from adamms.engines.config import EngineConfig
from adamms.searching.config import SearchingConfig
from pipelines.experiments import family, tiny_family
from pipelines.experiments.family import BASE, BEST, BEST_ONE, EQUAL, LABELS, Choice, best_line, table
from pipelines.experiments.settings import FamilySettings
from pipelines.experiments.tiny.prompts import write_prompts
from pipelines.experiments.tiny_family import DONORS

PAIR = Path(__file__).parents[3] / "adamms" / "demo" / "pair"


def hurried(train: Callable[..., None]) -> Callable[..., None]:
    return lambda member, batches, schedule, report: train(member, batches, replace(schedule, steps=2), report)


@pytest.mark.slow  # four searches on real engines
def test_every_way_of_weighing_stands_in_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local_ray: None
) -> None:
    folder = tmp_path / "family-1"
    for name, shipped in {"ancestor": "ancestor", "base": "base", "french": "donor"}.items():
        shutil.copytree(PAIR / shipped, folder / name)
    monkeypatch.setattr(tiny_family, "train", hurried(tiny_family.train))
    tiny_family.raise_in_words(folder, 1)
    for labelled in (False, True):
        place = folder / ("labelled" if labelled else "prompts")
        write_prompts(place, 1, 10, labelled=labelled, tasks=tiny_family.TASKS)
    settings = FamilySettings(
        seeds=(1,),
        tasks=("colour-french", "colour-caps"),
        metrics=("logprob",),
        prompts=8,
        few=2,
        labelled=3,
        folder=str(tmp_path),
        searching=SearchingConfig(alphas=(0.0, 0.2, 0.3), passes=0, noise=0),
        engine=EngineConfig(kind="transformers", max_tokens=8),
    )
    family.run(settings, False)
    found = {name: Choice(**row) for name, row in json.loads((tmp_path / "family-1.json").read_text()).items()}
    assert {"searched by logprob", LABELS, EQUAL, BASE, BEST_ONE, BEST} <= found.keys()
    assert tuple(found[BASE].weights) == (0, 0, 0)
    assert tuple(found[EQUAL].weights) == (0.25, 0.25, 0.25)
    assert sum(map(bool, found[BEST_ONE].weights)) <= 1
    searches = [found["searched by logprob"], found[LABELS]]
    assert found[BEST].accuracy >= max(one.accuracy for one in (*searches, found[BASE], found[BEST_ONE]))
    assert all(0 < one.candidates <= 1 + 2 * len(DONORS) + 3 * 2 for one in searches)
    selection = json.loads((tmp_path / "family-1" / "runs" / "logprob" / "selection.json").read_text())
    assert tuple(selection["weights"].values()) == tuple(found["searched by logprob"].weights)
    assert "| the base |" in (tmp_path / "table.md").read_text()


def test_a_row_has_every_family_and_the_mean() -> None:
    found = {1: {BASE: Choice((0.0, 0.0), 20.0, 0)}, 2: {BASE: Choice((0.1, 0.0), 30.0, 3)}}
    assert table(found).splitlines()[-1] == "| the base | 20.0 (0.0, 0.0) | 30.0 (0.1, 0.0) | 25.0 | 2 |"


def test_the_best_line_is_that_of_the_least_score() -> None:
    lines = [{"alpha": 0.3, "scores": {"0.0": 5.0, "0.3": 4.0}}, {"alpha": 0.2, "scores": {"0.0": 5.0, "0.2": 3.0}}]
    assert best_line(lines) == (0.0, 0.2)
