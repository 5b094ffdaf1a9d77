"""A live transformers engine whose base and donor have adapters."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from adamms.checkpoint import open_checkpoint
from adamms.engines.engine import EngineSpec
from adamms.engines.transformers_engine import TransformersEngine
from adamms.mapping import PlannedPair
from adamms.merging.recipe import Recipe
from adamms.merging.to_disk import merge_to_disk
from tests.support.adapters import merged_folder, save_adapter
from tests.support.specs import tiny_spec
from tests.support.tiny_models import tiny_prompts

Tiny = Callable[[str], Path]
LORA = {"target_modules": ["q_proj", "o_proj", "up_proj", "qkv", "fc2"], "modules_to_save": ["lm_head"]}


@pytest.fixture(scope="module")
def spec(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> EngineSpec:
    """The base's adapter changes its vision tower and head, too."""
    folder = tmp_path_factory.mktemp("adapters")
    base = save_adapter(tiny("qwen2-vl"), folder / "base", seed=1, **LORA)
    donor = save_adapter(tiny("llava-onevision"), folder / "donor", seed=2)
    return tiny_spec(f"{tiny('qwen2-vl')}+{base}", donor)


def exported(spec: EngineSpec, alpha: float, folder: Path) -> EngineSpec:
    """A spec whose base is the exported candidate."""
    models = [open_checkpoint(model.location) for model in (spec.plan.base, *spec.plan.donors)]
    merge_to_disk(PlannedPair(spec.plan, models[0], tuple(models[1:])), Recipe(alpha=alpha), folder)
    return tiny_spec(folder, spec.plan.donors[0].location)


def test_it_stands_at_the_sum_and_moves_from_there(spec: EngineSpec, tiny: Tiny, tmp_path: Path) -> None:
    engine, prompts = TransformersEngine(spec), tiny_prompts()
    untouched = engine.generate(prompts)
    model, adapter = map(Path, spec.plan.base.location.split("+"))
    by_peft = TransformersEngine(tiny_spec(merged_folder(model, adapter, tmp_path / "m"), tiny("llava-onevision")))
    assert same_weights(engine, by_peft)
    assert untouched == by_peft.generate(prompts)
    assert untouched != TransformersEngine(tiny_spec(model, tiny("llava-onevision"))).generate(prompts)

    seen = {}
    for alpha in (0.3, 0.6, 0.3, 0.0):
        state = engine.move(Recipe(alpha=alpha)), engine.generate(prompts)
        assert seen.setdefault(alpha, state) == state
    assert seen[0.0][1] == untouched
    engine.move(Recipe(alpha=0.6))
    fresh = TransformersEngine(exported(spec, 0.6, tmp_path / "0.6"))
    assert same_weights(engine, fresh)
    assert fresh.generate(prompts) == seen[0.6][1]


def test_what_a_former_donor_changed_becomes_the_sum_again(spec: EngineSpec, tiny: Tiny) -> None:
    from tests.support.specs import without

    engine = TransformersEngine(spec)
    engine.move(Recipe(alpha=0.6))
    less = without(spec.plan, "self_attn")
    engine.adopt(less)
    engine.move(Recipe(alpha=0.0))
    assert same_weights(engine, TransformersEngine(spec))


def test_an_adapter_beside_the_base_is_not_loaded(tiny: Tiny, tmp_path: Path) -> None:
    model = shutil.copytree(tiny("qwen2-vl"), tmp_path / "beside")
    plain = TransformersEngine(tiny_spec(tiny("qwen2-vl"), tiny("llava-onevision")))
    save_adapter(model, model, **LORA)
    assert same_weights(TransformersEngine(tiny_spec(model, tiny("llava-onevision"))), plain)


def same_weights(one: TransformersEngine, other: TransformersEngine) -> bool:
    live, theirs = one._model.state_dict(), other._model.state_dict()
    return live.keys() == theirs.keys() and all(live[name].equal(theirs[name]) for name in live)
