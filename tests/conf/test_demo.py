"""The demo's settings fit the pair that ships: its models map, its prompts load, its tasks exist."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from adamms.commands.settings import SearchSettings
from adamms.config import load_settings
from adamms.demo import PAIR
from adamms.mapping import plan_pair
from adamms.prompts.config import PromptsConfig
from adamms.prompts.prompt import load_prompts
from pipelines.experiments.settings import ReproduceSettings

ROOT = Path(__file__).parents[2]


def test_the_demo_maps_the_shipped_pair_and_asks_its_benchmark() -> None:
    settings = load_settings(SearchSettings, ROOT / "conf" / "demo.yaml", [])
    assert (ROOT / settings.base, ROOT / settings.donor) == (PAIR / "base", PAIR / "donor")
    assert (ROOT / settings.prompts.path, ROOT / settings.searching.labels) == (
        PAIR / "benchmark.jsonl",
        PAIR / "labels.jsonl",
    )
    models = {name: str(PAIR / name) for name in ("base", "donor", "ancestor")}
    plan = plan_pair(replace(settings, **models)).plan
    assert len(plan.merged) == 4 * 12 + 1  # every weight of four layers, and the last norm
    assert len(load_prompts(replace(settings.prompts, path=str(ROOT / settings.prompts.path)))) == 100


def test_every_task_of_the_comparison_ships_with_prompts() -> None:
    settings = load_settings(ReproduceSettings, ROOT / "conf" / "reproduce.yaml", [])
    for task in settings.tasks:
        assert load_prompts(PromptsConfig(path=str(PAIR / "prompts" / f"{task}.jsonl"), n=3))
