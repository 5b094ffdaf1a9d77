"""Engines on real Ray that make room for what a search does next; fake ones, for this is about what they hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from adamms.engines.config import EngineConfig
from adamms.merging.candidate import Candidate
from adamms.merging.config import MergeSettings, MergingConfig
from adamms.merging.on_ray import run_on_ray
from adamms.merging.recipe import Recipe
from adamms.prompts.prompt import Prompt
from adamms.searching.warm_engines import WarmEngines
from adamms.support.ray_session import RayConfig
from tests.support.fake_engine import FakeSpec

PROMPTS = [Prompt("p", "?")]


@pytest.mark.usefixtures("local_ray")  # of four cores
@pytest.mark.parametrize(
    ("cpus", "merging", "stays"),
    [
        (4, MergingConfig(backend="ray"), False),
        (2, MergingConfig(backend="ray"), True),
        (2, MergingConfig(backend="ray", workers=3), False),
        (2, MergingConfig(backend="ray", gpus_per_task=0.5), False),
        (4, MergingConfig(backend="local"), True),
    ],
)
def test_engines_that_hold_what_a_merge_needs_are_stopped(
    tmp_path: Path, cpus: int, merging: MergingConfig, stays: bool
) -> None:
    with WarmEngines(RayConfig()) as engines:
        engines.serve(EngineFor(EngineConfig(cpus=cpus), tmp_path))  # type: ignore[arg-type]
        assert len(list(engines.pool.answer({Candidate(0.1, Recipe()): PROMPTS}, 1))) == 1
        engines.make_room(MergeSettings("base", "donor", merging=merging))
        assert engines.started == stays
        if merging.backend == "ray" and not merging.gpus_per_task:
            with run_on_ray(merging, RayConfig()) as run:
                assert list(run(_same, [[1], [2]])) == [1, 2], "it does not wait for ever"


class EngineFor(FakeSpec):
    engine_key = "one base"


def _same(item: int) -> int:
    return item
