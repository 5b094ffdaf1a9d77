"""Small models written by hand, without transformers: quick to make, and odd where real ones are not."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from adamms.checkpoint import Checkpoint, open_checkpoint
from adamms.mapping import MergePlan, plan_merge
from adamms.mapping.config import MappingConfig

NUMBERS = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "rms_norm_eps": 1e-6,
}
LAYER = {
    "input_layernorm.weight": (32,),
    "self_attn.q_proj.weight": (32, 32),
    "self_attn.q_proj.bias": (32,),
    "self_attn.k_proj.weight": (16, 32),
    "self_attn.v_proj.weight": (16, 32),
    "self_attn.o_proj.weight": (32, 32),
    "post_attention_layernorm.weight": (32,),
    "mlp.gate_proj.weight": (48, 32),
    "mlp.up_proj.weight": (48, 32),
    "mlp.down_proj.weight": (32, 48),
}
VOCABULARY = 60


@dataclass(frozen=True)
class Models:
    base: Checkpoint
    donor: Checkpoint
    ancestor: Checkpoint

    def plan(self, ancestor: bool = True, **mapping: str) -> MergePlan:
        return plan_merge(self.base, self.donor, MappingConfig(**mapping), self.ancestor if ancestor else None)


def language_model() -> dict[str, torch.Tensor]:
    names = {f"layers.{i}.{name}": shape for i in range(2) for name, shape in LAYER.items()}
    names |= {"embed_tokens.weight": (VOCABULARY, 32), "norm.weight": (32,)}
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) * 0.1 for name, shape in names.items()}


def grown(weights: dict[str, torch.Tensor], seed: int) -> dict[str, torch.Tensor]:
    """With noise, but for a third of the values, which stay the ancestor's (task vectors of 0)."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: value
        + torch.randn(value.shape, generator=generator) * 0.02 * (torch.rand(value.shape, generator=generator) > 0.3)
        for name, value in weights.items()
    }


def save(
    folder: Path, config: dict[str, object], weights: dict[str, torch.Tensor], dtype: torch.dtype, shards: int = 1
) -> Checkpoint:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({**NUMBERS, **config}))
    vocabulary = {"model": {"vocab": {f"t{i}": i for i in range(VOCABULARY)}}}
    (folder / "tokenizer.json").write_text(json.dumps(vocabulary))
    stored = {name: value.to(dtype).contiguous() for name, value in weights.items()}
    names = sorted(stored)
    if shards == 1:
        save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    else:
        weight_map = {}
        for shard in range(shards):
            file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
            part = names[shard::shards]
            save_file({name: stored[name] for name in part}, folder / file, metadata={"format": "pt"})
            weight_map |= dict.fromkeys(part, file)
        index = {"metadata": {}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return open_checkpoint(str(folder))


def make_models(
    folder: Path,
    base_dtype: torch.dtype = torch.bfloat16,
    donor_dtype: torch.dtype = torch.bfloat16,
    shards: int = 1,
) -> Models:
    """Qwen2-VL (in Qwen's own names) and LLaVA-OneVision, both grown from one Qwen2."""
    origin = language_model()
    head = torch.randn(VOCABULARY, 32, generator=torch.Generator().manual_seed(9)) * 0.1

    def named(weights: dict[str, torch.Tensor], prefix: str, head_name: str, seed: int) -> dict[str, torch.Tensor]:
        named = {prefix + name: value for name, value in weights.items()}
        return {**named, head_name: head + seed * 0.001}

    vision = {"visual.patch_embed.proj.weight": torch.randn(8, 3, 2, 2), "visual.merger.mlp.0.weight": torch.randn(8)}
    tower = {"vision_tower.vision_model.embeddings.weight": torch.randn(8, 8), "image_newline": torch.randn(32)}
    return Models(
        save(
            folder / "base",
            {"model_type": "qwen2_vl"},
            named(grown(origin, 1), "model.", "lm_head.weight", 1) | vision,
            base_dtype,
            shards,
        ),
        save(
            folder / "donor",
            {"model_type": "llava_onevision"},
            named(grown(origin, 2), "language_model.model.", "language_model.lm_head.weight", 2) | tower,
            donor_dtype,
        ),
        save(folder / "ancestor", {"model_type": "qwen2"}, named(origin, "model.", "lm_head.weight", 0), base_dtype),
    )


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """bfloat16, the base in two shards."""
    return make_models(tmp_path_factory.mktemp("models"), shards=2)


def save_family(folder: Path) -> dict[str, str]:
    """The folders of a base and of models that may be merged into it together, all grown from one Qwen2.

    Returns:
        base (Qwen2-VL), onevision and small (LLaVA-OneVision, the latter with another vocabulary), text and ancestor
        (Qwen2); copy (onevision's); stranger (of another ancestor) and deeper (of another size).
    """
    origin = language_model()
    head = torch.randn(VOCABULARY, 32, generator=torch.Generator().manual_seed(9)) * 0.1
    eye = {"visual.patch_embed.proj.weight": torch.ones(8, 3, 2, 2), "visual.merger.mlp.0.weight": torch.ones(8)}
    tower = {"vision_tower.vision_model.embeddings.weight": torch.ones(8, 8), "image_newline": torch.ones(32)}

    def named(weights: dict[str, torch.Tensor], prefix: str, seed: int) -> dict[str, torch.Tensor]:
        found = {f"{prefix}model.{name}": value for name, value in weights.items()}
        return {**found, f"{prefix}lm_head.weight": head + seed * 0.001}

    def inside(seed: int) -> dict[str, torch.Tensor]:
        return named(grown(origin, seed), "language_model.", seed) | tower

    other = {name: value.flip(0) * 1.1 for name, value in origin.items()}
    models = {
        "base": ({"model_type": "qwen2_vl"}, named(grown(origin, 1), "", 1) | eye),
        "onevision": ({"model_type": "llava_onevision"}, inside(2)),
        "text": ({"model_type": "qwen2"}, named(grown(origin, 3), "", 3)),
        "small": ({"model_type": "llava_onevision"}, inside(4)),
        "ancestor": ({"model_type": "qwen2"}, named(origin, "", 0)),
        "copy": ({"model_type": "llava_onevision"}, inside(2)),
        "stranger": ({"model_type": "qwen2"}, named(other, "", 5)),
        "deeper": ({"model_type": "qwen2", "num_hidden_layers": 3}, named(origin, "", 6)),
    }
    for name, (config, weights) in models.items():
        save(folder / name, config, weights, torch.bfloat16)
    shifted = {f"t{i}": (i + 7) % VOCABULARY for i in range(VOCABULARY - 20)}
    (folder / "small" / "tokenizer.json").write_text(json.dumps({"model": {"vocab": shifted}}))
    return {name: str(folder / name) for name in models}
