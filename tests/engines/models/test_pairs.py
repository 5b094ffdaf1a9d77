"""The ready pairs of the paper whose bases no library loads, on tiny checkpoints in their authors' layout: mapped as
their file says, merged in vLLM, exported, and the exported folder loaded again."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import huggingface_hub.constants
import pytest

pytest.importorskip("vllm")

from adamms.checkpoint import open_checkpoint
from adamms.commands.settings import SearchSettings
from adamms.config import load_settings
from adamms.engines.engine import EngineSpec
from adamms.engines.lengths import fitting_prompts
from adamms.engines.registry import engine_class, fitting_kind
from adamms.errors import UserError
from adamms.mapping import PlannedPair, plan_merge
from adamms.merging.recipe import Recipe
from adamms.merging.to_disk import merge_to_disk
from tests.engines.models.test_authors import PROMPTS
from tests.engines.vllm.test_engine import start
from tests.support import authors
from tests.support.tiny_models import write_prompts

ROOT = Path(__file__).parents[3]
CONF = ROOT / "conf" / "pairs"
PAIRS = [
    "llava-1.5_into_cogvlm",
    "mplug-owl2_into_cogvlm",
    "sharegpt4v_into_cogvlm",
    "llava-1.5_into_mplug-owl2",
    "cogvlm_into_mplug-owl2",
    "llava-1.5_into_sharegpt4v",
]
SMALL = ["engine.kv_cache_gb=0.02", "engine.max_model_len=512", "engine.max_tokens=8", "mapping.ancestry_check=off"]
KINDS = {
    "THUDM/cogvlm-chat-hf@main": "cogvlm",
    "MAGAer13/mplug-owl2-llama2-7b@main": "mplug-owl2",
    "liuhaotian/llava-v1.5-7b@main": "llava",
    "Lin-Chen/ShareGPT4V-7B@main": "sharegpt4v",
}


@pytest.fixture
def vicuna(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tokenizer that CogVLM's data file names can be had."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    write_vicuna(tmp_path / "hub")


def write_vicuna(cache: Path) -> None:
    """That tokenizer as the Hub's client has it on the disk."""
    commit, model = "a" * 40, cache / "models--lmsys--vicuna-7b-v1.5"
    authors.write_tokenizer(model / "snapshots" / commit)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(commit)


def published(kind: str, folder: Path, seed: int) -> Path:
    """As the family's repository has it: CogVLM's is without a tokenizer."""
    authors.AUTHORS[kind](folder, seed=seed)
    if kind == "cogvlm":
        for file in folder.glob("tokenizer*"):
            file.unlink()
    return folder


@pytest.mark.usefixtures("vicuna")
@pytest.mark.parametrize("name", [PAIRS[0], *(pytest.param(name, marks=pytest.mark.slow) for name in PAIRS[1:])])
def test_a_ready_pair(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = CONF / f"{name}.yaml"
    named = load_settings(SearchSettings, file, [])
    base = published(KINDS[named.base], tmp_path / "base", 0)
    donor = published(KINDS[named.donor], tmp_path / "donor", 1)
    settings = load_settings(SearchSettings, file, [f"base={base}", f"donor={donor}", *SMALL])
    models = open_checkpoint(str(base)), open_checkpoint(str(donor))
    spec = EngineSpec(plan_merge(*models, settings.mapping), settings.engine, settings.mapping.base_architecture)
    with caplog.at_level(logging.WARNING):
        prompts = fitting_prompts(PROMPTS, spec)
    told = [message for message in caplog.messages if "its family's is used" in message]
    assert len(told) == (2 if KINDS[named.base] == "cogvlm" else 1)
    assert fitting_kind(spec) == "vllm", "although the file does not ask for it, and this may be a CPU"

    engine = start(spec)
    base_answers = engine.generate(prompts)
    engine.move(Recipe(alpha=0.4))
    merged = engine.generate(prompts)
    assert merged != base_answers
    output = merge_to_disk(PlannedPair(spec.plan, *models), Recipe(alpha=0.4), tmp_path / "merged")
    exported = open_checkpoint(str(output))
    identity = dataclasses.replace(spec.plan.base, location=str(output), digest=exported.digest)
    again = dataclasses.replace(spec, plan=dataclasses.replace(spec.plan, base=identity))
    assert start(again).generate(prompts) == merged


def test_transformers_is_refused_with_a_reason(tmp_path: Path) -> None:
    base = authors.save_mplug_owl2(tmp_path / "base")
    model = open_checkpoint(str(base))
    settings = load_settings(SearchSettings, CONF / "llava-1.5_into_mplug-owl2.yaml", [f"base={base}"])
    spec = EngineSpec(plan_merge(model, model, settings.mapping), settings.engine)
    with pytest.raises(UserError, match=r"engine\.kind=transformers: transformers does not read .*engine\.kind=vllm"):
        engine_class("transformers")(spec)


def test_cambrian_is_refused_before_an_engine_starts(tmp_path: Path) -> None:
    config = {**authors.llava_config("x", "cambrian_llama"), "architectures": ["CambrianLlamaForCausalLM"]}
    authors.write(tmp_path, config, authors.llava_shapes(config, inside=False), seed=0)
    model = open_checkpoint(str(tmp_path))
    settings = load_settings(SearchSettings, CONF / "yi-vl_into_cambrian.yaml", [])
    spec = EngineSpec(plan_merge(model, model, settings.mapping), settings.engine)
    with pytest.raises(UserError, match="no engine loads this base: AdaMMS has no code for its four vision towers"):
        fitting_prompts(PROMPTS, spec)


@pytest.mark.slow
def test_a_search_by_a_ready_file_as_it_stands(tmp_path: Path) -> None:
    """All of it by its command, in processes of their own: donor LLaVA-1.5, base CogVLM, whose tokenizer is fetched."""
    base, donor = published("cogvlm", tmp_path / "base", 0), published("llava", tmp_path / "donor", 1)
    write_vicuna(tmp_path / "hub")
    prompts, run_dir = write_prompts(tmp_path / "prompts.jsonl", PROMPTS[:4]), tmp_path / "run"
    told = [f"base={base}", f"donor={donor}", f"prompts.path={prompts}", f"run_dir={run_dir}", *SMALL]
    told += ["searching.alphas=[0,0.2,0.4,0.6]", f"tracking.uri=sqlite:///{tmp_path}/mlflow.db"]
    script = [sys.executable, "pipelines/search.py", "--config", str(CONF / "llava-1.5_into_cogvlm.yaml"), *told]
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    ended = subprocess.run(script, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=550, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert "has no tokenizer; its family's is used, lmsys/vicuna-7b-v1.5@main" in ended.stderr
    chosen = json.loads((run_dir / "selection.json").read_text())["alpha"]
    assert chosen in (0.2, 0.4)
    merged = open_checkpoint(str(run_dir / "merged"))
    assert merged.tensors.keys() == open_checkpoint(str(base)).tensors.keys()
    assert merged.config == open_checkpoint(str(base)).config
