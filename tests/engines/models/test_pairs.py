"""Every ready pair, by its file as it stands, on tiny checkpoints in their authors' layouts: mapped, searched in vLLM,
exported, and the exported folder loaded again."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import huggingface_hub.constants
import pytest

pytest.importorskip("vllm")

from adamms.checkpoint import open_checkpoint
from adamms.checkpoint.resolve import fetch_from_hub
from adamms.commands.serve import serve
from adamms.commands.settings import SearchSettings
from adamms.config import load_settings
from adamms.engines.engine import EngineSpec
from adamms.engines.lengths import fitting_prompts
from adamms.engines.models import vision_tower
from adamms.engines.models.families import FAMILIES, REFUSED
from adamms.engines.registry import engine_class, fitting_kind
from adamms.errors import UserError
from adamms.mapping import PlannedPair, plan_merge
from adamms.mapping.architecture import known_architectures
from adamms.merging.recipe import Recipe
from adamms.merging.to_disk import merge_to_disk
from adamms.merging.usage import NO_LIBRARY
from adamms.runs.responses import read_responses
from adamms.searching.rehearsal import rehearse
from tests.engines.models.test_authors import PROMPTS
from tests.engines.vllm.test_engine import start
from tests.support import authors
from tests.support.published import MAKERS, publish
from tests.support.tiny_models import write_prompts

ROOT = Path(__file__).parents[3]
CONF = ROOT / "conf" / "pairs"
UNSEARCHED = "yi-vl_into_cambrian"
PAIRS = sorted(file.stem for file in CONF.glob("*.yaml") if file.stem != UNSEARCHED)
SMALL = {
    "engine": {"kind": "vllm", "kv_cache_gb": 0.02, "max_model_len": 512, "max_tokens": 8},
    "mapping": {"ancestry_check": "off"},  # they share none
    "searching": {"metric": "either"},
}
ALPHAS = [0.0, 0.2, 0.4, 0.6]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Every repository that a pair names, and what these name, as the Hub's client keeps them."""
    cache = tmp_path_factory.mktemp("hub")
    for repository in MAKERS:
        publish(repository, cache)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
        yield cache


def settings_of(name: str) -> SearchSettings:
    return load_settings(SearchSettings, CONF / f"{name}.yaml", [], {}, SMALL)


def spec_of(settings: SearchSettings) -> EngineSpec:
    plan = plan_merge(open_checkpoint(settings.base), open_checkpoint(settings.donor), settings.mapping)
    return EngineSpec(plan, settings.engine, settings.mapping.base_architecture)


def of_exported(spec: EngineSpec, folder: Path) -> EngineSpec:
    """Its base is what was exported."""
    exported = open_checkpoint(str(folder))
    identity = replace(spec.plan.base, location=str(folder), digest=exported.digest)
    return replace(spec, plan=replace(spec.plan, base=identity))


@pytest.mark.usefixtures("hub")
def test_a_ready_pair_step_by_step(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = settings_of("llava-1.5_into_cogvlm")
    models = open_checkpoint(settings.base), open_checkpoint(settings.donor)
    spec = spec_of(settings)
    with caplog.at_level(logging.WARNING):
        prompts = fitting_prompts(PROMPTS, spec)
    assert len([message for message in caplog.messages if "its family's is used" in message]) == 2
    engine = start(spec)
    base_answers = engine.generate(prompts)
    engine.move(Recipe(alpha=0.4))
    merged = engine.generate(prompts)
    assert merged != base_answers
    output = merge_to_disk(PlannedPair(spec.plan, models[0], tuple(models[1:])), Recipe(alpha=0.4), tmp_path / "merged")
    assert start(of_exported(spec, output)).generate(prompts) == merged
    assert f"as it loads the base: {NO_LIBRARY}" in (output / "README.md").read_text()
    with pytest.raises(UserError, match=f"merged: {NO_LIBRARY}; load it with its authors' code"):
        serve(output)


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("name", PAIRS)
def test_a_base_of_a_layout_of_ours_is_vllm_s_on_a_cpu_too(name: str) -> None:
    settings = settings_of(name)
    spec = spec_of(replace(settings, engine=replace(settings.engine, kind="auto")))
    ours = settings.base.startswith(("THUDM/", "MAGAer13/", "Lin-Chen/"))
    assert fitting_kind(spec) == ("vllm" if ours else "transformers")


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("name", PAIRS)
def test_a_dry_run_needs_no_weights_of_a_second_repository(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(repository: str, weights: bool) -> Path:
        assert not weights
        return fetch_from_hub(repository, weights)

    monkeypatch.setattr(vision_tower, "fetch_from_hub", fetch)
    prompts = replace(settings_of(name).prompts, path=str(write_prompts(tmp_path / "prompts.jsonl", PROMPTS)))
    found = rehearse(replace(settings_of(name), prompts=prompts, run_dir=str(tmp_path / "run")))
    assert (found.kind, found.trouble) == ("vllm", ())
    assert found.guess.seconds["answering"] > 0


@pytest.fixture(scope="module")
def swept(hub: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All pairs by one command in processes of their own, whose engines those with one base share."""
    folder = tmp_path_factory.mktemp("swept")
    settings = {
        **SMALL,
        "sweep": {"pairs": {name: str(CONF / f"{name}.yaml") for name in PAIRS}},
        "prompts": {"path": str(write_prompts(folder / "prompts.jsonl", PROMPTS[:4]))},
        "searching": {"alphas": ALPHAS},
        "tracking": {"uri": f"sqlite:///{folder}/mlflow.db", "system_metrics": False},
        "run_dir": str(folder / "runs"),
    }
    file = folder / "sweep.json"
    file.write_text(json.dumps(settings))
    run(hub, "sweep.py", "--config", str(file), seconds=1700)
    return folder / "runs"


def run(hub: Path, *arguments: str, seconds: float) -> str:
    """A pipeline's standard error."""
    environment = {**os.environ, "HF_HUB_CACHE": str(hub), "HF_HUB_OFFLINE": "1"}
    script = [sys.executable, f"pipelines/{arguments[0]}", *arguments[1:]]
    ended = subprocess.run(
        script, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=seconds, check=False
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended.stderr


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", PAIRS)
def test_a_ready_pair_is_searched_and_its_winner_answers_as_in_the_search(name: str, swept: Path) -> None:
    settings, folder = settings_of(name), swept / name / "linear"
    chosen = json.loads((folder / "selection.json").read_text())["alpha"]
    assert chosen in ALPHAS[1:-1]
    base, merged = open_checkpoint(settings.base), open_checkpoint(str(folder / "merged"))
    assert merged.config == base.config
    assert {n: t.shape for n, t in merged.tensors.items()} == {n: t.shape for n, t in base.tensors.items()}
    answers = start(of_exported(spec_of(settings), folder / "merged")).generate(PROMPTS[:4])
    found = read_responses(folder)
    assert {answer.prompt_id: answer.text for answer in answers} == found[chosen]
    assert found[0.0] != found[0.6]
    ours = FAMILIES.get((spec_of(settings).plan.base.architecture, spec_of(settings).plan.base.layout))
    assert (NO_LIBRARY in (folder / "report.html").read_text()) is (ours is not None)


@pytest.mark.slow
def test_a_search_by_the_command_that_a_file_begins_with(hub: Path, tmp_path: Path) -> None:
    """Donor LLaVA-1.5, base CogVLM, whose tokenizer is fetched; vLLM is taken without being asked for."""
    prompts, run_dir = write_prompts(tmp_path / "prompts.jsonl", PROMPTS[:4]), tmp_path / "run"
    told = [f"prompts.path={prompts}", f"run_dir={run_dir}", f"tracking.uri=sqlite:///{tmp_path}/mlflow.db"]
    told += ["engine.kv_cache_gb=0.02", "engine.max_model_len=512", "engine.max_tokens=8"]
    told += ["mapping.ancestry_check=off", "searching.alphas=[0,0.2,0.4,0.6]"]
    said = run(hub, "search.py", "--config", str(CONF / "llava-1.5_into_cogvlm.yaml"), *told, seconds=550)
    assert "has no tokenizer; its family's is used, lmsys/vicuna-7b-v1.5@main" in said
    assert json.loads((run_dir / "selection.json").read_text())["alpha"] in (0.2, 0.4)


def test_every_layout_that_no_library_reads_is_brought_to_vllm_or_refused() -> None:
    known = known_architectures()
    own = {(name, one.origin) for name in known for one in known[name].layouts if not one.library}
    assert own == {*FAMILIES, *((name, one.origin) for name in REFUSED for one in known[name].layouts)}


def test_transformers_is_refused_with_a_reason(tmp_path: Path) -> None:
    base = authors.save_mplug_owl2(tmp_path / "base")
    model = open_checkpoint(str(base))
    settings = load_settings(SearchSettings, CONF / "llava-1.5_into_mplug-owl2.yaml", [f"base={base}"])
    spec = EngineSpec(plan_merge(model, model, settings.mapping), settings.engine)
    with pytest.raises(UserError, match=r"engine\.kind=transformers: transformers does not read .*engine\.kind=vllm"):
        engine_class("transformers")(spec)


@pytest.mark.usefixtures("hub")
def test_cambrian_is_merged_but_refused_before_an_engine_starts(tmp_path: Path) -> None:
    settings = settings_of(UNSEARCHED)
    spec = spec_of(settings)
    missing = "no engine loads this base: AdaMMS has no code for its four vision towers"
    with pytest.raises(UserError, match=missing):
        fitting_prompts(PROMPTS, spec)
    prompts = replace(settings.prompts, path=str(write_prompts(tmp_path / "prompts.jsonl", PROMPTS)))
    with pytest.raises(UserError, match=missing):
        rehearse(replace(settings, prompts=prompts, run_dir=str(tmp_path / "run")))
    base, donor = open_checkpoint(settings.base), open_checkpoint(settings.donor)
    output = merge_to_disk(PlannedPair(spec.plan, base, (donor,)), Recipe(alpha=0.1), tmp_path / "merged")
    merged = open_checkpoint(str(output))
    assert (merged.tensors.keys(), merged.config) == (base.tensors.keys(), base.config)
