from __future__ import annotations

import json
import logging
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from adamms.checkpoint import Checkpoint, open_checkpoint
from adamms.engines import memory
from adamms.engines.config import EngineConfig
from adamms.engines.engine import EngineSpec
from adamms.engines.memory import GB, MemoryNeed, check_before_loading, check_memory
from adamms.engines.originals import HEADROOM, MOST
from adamms.engines.transformers_engine import TransformersEngine
from adamms.engines.vllm.engine import VllmEngine, engine_arguments
from adamms.errors import UserError
from adamms.mapping import plan_merge
from adamms.mapping.config import MappingConfig
from adamms.mapping.pair import plan_alone
from adamms.mapping.plan import MergePlan

LAYERS, HIDDEN, INNER, VOCABULARY = 28, 3584, 18944, 152064


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[MergePlan, Checkpoint, Checkpoint]:
    """Qwen2 of 7B parameters by its headers alone: the files are sparse."""
    root = tmp_path_factory.mktemp("big")
    models = [_write_headers(root / name) for name in ("base", "donor")]
    return plan_merge(models[0], models[1], MappingConfig()), models[0], models[1]


def memory_need(plan: MergePlan, base: Checkpoint, donor: Checkpoint, config: EngineConfig) -> MemoryNeed:
    """Of vLLM on a GPU."""
    return VllmEngine.memory(plan, base, (donor,), config, "cuda")


def test_a_7b_pair_on_one_large_gpu(pair: tuple[MergePlan, Checkpoint, Checkpoint]) -> None:
    need = memory_need(*pair, EngineConfig())
    assert need.weights == pytest.approx(15.2e9, rel=0.01)
    assert need.kv_cache_token == 2 * LAYERS * 4 * 128 * 2
    assert need.kv_cache == 8192 * need.kv_cache_token
    config = EngineConfig(gpu_memory_utilization=0.85)
    assert "in host memory" in check_memory(memory_need(*pair, config), 140 * GB, config)
    config = EngineConfig(gpu_memory_utilization=0.7)
    assert "on the GPU" in check_memory(memory_need(*pair, config), 140 * GB, config)


def test_a_model_by_itself_needs_no_originals(pair: tuple[MergePlan, Checkpoint, Checkpoint]) -> None:
    _, base, _ = pair
    together, alone = memory_need(*pair, EngineConfig()), memory_need(plan_alone(base), base, base, EngineConfig())
    assert alone.originals == 0
    assert (alone.weights, alone.kv_cache_token) == (together.weights, together.kv_cache_token)


def test_the_originals_of_a_7b_pair_lie_beside_vllm_on_80_gb(pair: tuple[MergePlan, Checkpoint, Checkpoint]) -> None:
    """Unless the setting says otherwise; where they have no room, vLLM has the GPU."""
    need, total = memory_need(*pair, EngineConfig()), 79 * GB
    share = need.share_of(total)
    assert "on the GPU" in check_memory(need, total, EngineConfig())
    left = total - int(share * total)
    assert left >= need.originals + 3 * 2 * VOCABULARY * HIDDEN + HEADROOM - GB // 100
    assert share * total >= need.least + 31 * 8192 * need.kv_cache_token, "a whole block of prompts at once"
    assert memory_need(*pair, EngineConfig(gpu_memory_utilization=0.6)).share_of(total) == 0.6
    assert need.share_of(40 * GB) == MOST
    assert need.share_of(1000 * GB) == MOST
    assert "in host memory" in check_memory(need, 40 * GB, EngineConfig())
    arguments = engine_arguments(EngineConfig(), pair[1].folder, "cuda", share)
    assert arguments["gpu_memory_utilization"] == share
    assert "gpu_memory_utilization" not in engine_arguments(EngineConfig(), pair[1].folder, "cpu")


def test_what_does_not_fit_is_said_with_what_to_change(pair: tuple[MergePlan, Checkpoint, Checkpoint]) -> None:
    config = EngineConfig()
    need = memory_need(*pair, config)
    with pytest.raises(UserError, match=r"needs .* GB on each GPU .*engine\.tensor_parallel_size=2"):
        check_memory(need, 16 * GB, config)
    config = EngineConfig(kv_cache_gb=60)
    with pytest.raises(UserError, match=r"; lower engine\.kv_cache_gb"):
        check_memory(memory_need(*pair, config), 48 * GB, config)
    config = EngineConfig(vision_cache_tokens=5_000_000)
    with pytest.raises(UserError, match=r"; lower engine\.vision_cache_tokens"):
        check_memory(memory_need(*pair, config), 48 * GB, config)


def test_more_gpus_share_an_engine(pair: tuple[MergePlan, Checkpoint, Checkpoint]) -> None:
    one, two = (memory_need(*pair, EngineConfig(tensor_parallel_size=ranks)) for ranks in (1, 2))
    assert two.weights == one.weights // 2
    assert two.kv_cache_token == one.kv_cache_token // 2
    assert two.originals == one.originals // 2
    assert memory_need(*pair, EngineConfig(dtype="float32")).weights == 2 * one.weights


@pytest.mark.parametrize("engine", [VllmEngine, TransformersEngine])
def test_an_engine_is_checked_against_its_gpu_before_it_is_loaded(
    pair: tuple[MergePlan, Checkpoint, Checkpoint],
    engine: type[VllmEngine | TransformersEngine],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def check(total: int) -> float:
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=total))
        return check_before_loading(engine.memory, pair[0], EngineConfig(), torch.device("cuda"))

    with caplog.at_level(logging.INFO, logger="adamms"):
        assert 0 < check(140 * GB) <= 1
    assert "weights 14.2" in caplog.text
    for total in (16 * GB, GB):
        with pytest.raises(UserError, match="engine: needs"):
            check(total)


@pytest.mark.parametrize("engine", [VllmEngine, TransformersEngine])
def test_a_cpu_computes_in_float32_and_keeps_the_originals_in_the_page_cache(
    pair: tuple[MergePlan, Checkpoint, Checkpoint], engine: type[VllmEngine | TransformersEngine]
) -> None:
    plan, base, donor = pair
    full, half = (engine.memory(plan, base, (donor,), EngineConfig(dtype=one), "cpu") for one in ("auto", "bfloat16"))
    assert full.weights == 2 * half.weights == pytest.approx(2 * 15.2e9, rel=0.01)
    assert full.least < full.weights + full.copies + 0.3 * full.originals
    with pytest.raises(UserError, match=r"needs .* GB of memory \(process .*weights 28\.4.*engine\.dtype=bfloat16"):
        check_memory(full, 24 * GB, EngineConfig(), "cpu")
    assert "weights 14.2" in check_memory(half, 24 * GB, EngineConfig(dtype="bfloat16"), "cpu")


def test_what_does_not_fit_a_cpu_is_refused_before_it_is_loaded(
    pair: tuple[MergePlan, Checkpoint, Checkpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading would fail otherwise: there is no processor, and the files are sparse."""
    monkeypatch.setattr(memory, "free_host_memory", lambda: 8 * GB)
    for engine in (VllmEngine, TransformersEngine):
        with pytest.raises(UserError, match=r"needs .* GB of memory"):
            engine(EngineSpec(pair[0], EngineConfig(device="cpu")))


@pytest.mark.parametrize("nested", ["text_config", "llm_config", "language_config", "language_model_config"])
def test_numbers_are_found_wherever_a_config_keeps_them(
    pair: tuple[MergePlan, Checkpoint, Checkpoint], tmp_path: Path, nested: str
) -> None:
    plan, base, donor = pair
    for file in base.folder.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "own", nested: base.config}))
    moved = open_checkpoint(str(tmp_path))
    assert memory_need(plan, moved, donor, EngineConfig()) == memory_need(plan, base, donor, EngineConfig())


def _write_headers(folder: Path) -> Checkpoint:
    shapes = {"model.embed_tokens.weight": (VOCABULARY, HIDDEN), "lm_head.weight": (VOCABULARY, HIDDEN)}
    shapes["model.norm.weight"] = (HIDDEN,)  # type: ignore[assignment]
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        for name, shape in {
            **{f"self_attn.{one}_proj.weight": (512 if one in "kv" else HIDDEN, HIDDEN) for one in "qkvo"},
            **{f"self_attn.{one}_proj.bias": (512 if one in "kv" else HIDDEN,) for one in "qkv"},
            **{f"mlp.{one}_proj.weight": (INNER, HIDDEN) for one in ("gate", "up")},
            "mlp.down_proj.weight": (HIDDEN, INNER),
            "input_layernorm.weight": (HIDDEN,),
            "post_attention_layernorm.weight": (HIDDEN,),
        }.items():
            shapes[prefix + name] = shape  # type: ignore[assignment]
    header: dict[str, Any] = {}
    position = 0
    for name, shape in shapes.items():
        size = 2
        for extent in shape:
            size *= extent
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [position, position + size]}
        position += size
    raw = json.dumps(header).encode()
    folder.mkdir()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        file.truncate(8 + len(raw) + position)
    config = {
        "model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS, "num_attention_heads": 28, "num_key_value_heads": 4, "intermediate_size": INNER,
        "vocab_size": VOCABULARY, "max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "rope_theta": 1e6,
        "tie_word_embeddings": False,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    return open_checkpoint(str(folder))
