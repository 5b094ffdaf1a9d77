"""What can be tested of the worker without vLLM."""

from __future__ import annotations

from pathlib import Path

import torch

from adamms.checkpoint import open_checkpoint
from adamms.engines.originals import HeldTensors
from adamms.engines.vllm.worker import FUSED, names_to_load
from adamms.mapping.plan import Piece, Source, TensorPlan

LAYER = "model.layers.0."
NAMES = [
    *(f"{LAYER}self_attn.{one}_proj.{kind}" for one in "qkv" for kind in ("weight", "bias")),
    f"{LAYER}self_attn.o_proj.weight",
    f"{LAYER}mlp.up_proj.weight",
    f"{LAYER}mlp.down_proj.weight",
    f"{LAYER}mlp.gate_proj.weight",
    "visual.blocks.0.attn.q_proj.weight",
    "visual.blocks.0.attn.k_proj.weight",
]


def plans(*names: str) -> dict[str, TensorPlan]:
    return {name: TensorPlan(name, "BF16", (1,), "", (Piece(0, 1, (Source(name, 0),)),)) for name in names}


def test_a_fused_module_is_loaded_whole_and_nothing_else_is() -> None:
    found = names_to_load(NAMES, plans(f"{LAYER}self_attn.k_proj.weight", f"{LAYER}mlp.gate_proj.weight"), FUSED)
    assert found == [*NAMES[:6], f"{LAYER}mlp.up_proj.weight", f"{LAYER}mlp.gate_proj.weight"]


def test_groups_of_the_model_are_known_too() -> None:
    groups = [*FUSED, ("o_proj", "down_proj")]
    assert names_to_load(NAMES, plans(f"{LAYER}self_attn.o_proj.weight"), groups) == [f"{LAYER}self_attn.o_proj.weight"]
    assert names_to_load(NAMES, {}, groups) == []


def test_all_experts_of_a_layer_are_loaded_together_and_those_that_all_tokens_share_are_not() -> None:
    """vLLM holds them in one module, whether the file has them one by one or stacked."""
    parts = [f"{LAYER}mlp.experts.{i}.{one}_proj.weight" for i in range(2) for one in ("gate", "up", "down")]
    others = [f"{LAYER}mlp.gate.weight", f"{LAYER}mlp.shared_experts.up_proj.weight"]
    assert names_to_load([*parts, *others], plans(parts[3]), FUSED) == parts
    stacked = [f"{LAYER}mlp.experts.{one}" for one in ("gate_up_proj", "down_proj")]
    assert names_to_load([*stacked, *others], plans(stacked[1]), FUSED) == stacked


def test_held_tensors_are_those_of_the_checkpoint(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.randn(4, 3), "b": torch.randn(5)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{}")
    checkpoint = open_checkpoint(str(tmp_path))
    held = HeldTensors(checkpoint, ["a"], torch.device("cpu"), lambda tensor: tensor.clone())
    for name, start, stop in (("a", 2, 7), ("a", 0, None), ("b", 1, 3)):
        assert held.read(name, start, stop).equal(checkpoint.read(name, start, stop))
