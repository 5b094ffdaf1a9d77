from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from adamms.checkpoint import Checkpoint
from adamms.engines.config import EngineConfig, EngineKind
from adamms.engines.memory import GB, check_memory, memory_need, preflight
from adamms.errors import UserError
from adamms.mapping import plan_merge
from adamms.mapping.config import MappingConfig
from adamms.mapping.plan import MergePlan

LAYERS, HIDDEN, INNER, VOCABULARY = 28, 3584, 18944, 152064


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[MergePlan, Checkpoint, Checkpoint]:
    """Qwen2 of 7B parameters by its headers alone: the files are sparse."""
    root = tmp_path_factory.mktemp("big")
    models = [_write_headers(root / name) for name in ("base", "donor")]
    return plan_merge(models[0], models[1], MappingConfig()), models[0], models[1]


def test_a_7b_pair_on_one_large_gpu(pair: tuple[MergePlan, Checkpoint, Checkpoint]) -> None:
    need = memory_need(*pair, EngineConfig())
    assert need.weights == pytest.approx(15.2e9, rel=0.01)
    assert need.kv_cache_token == 2 * LAYERS * 4 * 128 * 2
    assert need.kv_cache == 8192 * need.kv_cache_token
    assert "in host memory" in check_memory(need, 140 * GB, EngineConfig())
    assert "on the GPU" in check_memory(need, 140 * GB, EngineConfig(gpu_memory_utilization=0.7))


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
    assert memory_need(*pair, EngineConfig(dtype="float32")).weights == 2 * one.weights


def test_preflight_takes_the_smallest_gpu(pair: tuple[MergePlan, Checkpoint, Checkpoint]) -> None:
    plan = pair[0]
    assert preflight(plan, EngineConfig(), []) is None
    assert preflight(plan, EngineConfig(kind=EngineKind.transformers), [GB]) is None
    assert "weights 14.2" in str(preflight(plan, EngineConfig(), [140 * GB]))
    with pytest.raises(UserError):
        preflight(plan, EngineConfig(), [140 * GB, 16 * GB])


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
    return Checkpoint.open(str(folder))
