"""What can be tested of the worker without vLLM."""

from __future__ import annotations

from pathlib import Path

import torch

from adamms.checkpoint import open_checkpoint
from adamms.engines.digest import WeightsDigest
from adamms.engines.originals import HeldTensors
from adamms.engines.vllm.worker import FUSED, names_to_load
from adamms.mapping.plan import Piece, TensorPlan

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
    return {name: TensorPlan(name, "BF16", (1,), "", (Piece(0, 1, name, 0),)) for name in names}


def test_a_fused_module_is_loaded_whole_and_nothing_else_is() -> None:
    found = names_to_load(NAMES, plans(f"{LAYER}self_attn.k_proj.weight", f"{LAYER}mlp.gate_proj.weight"), FUSED)
    assert found == [*NAMES[:6], f"{LAYER}mlp.up_proj.weight", f"{LAYER}mlp.gate_proj.weight"]


def test_groups_of_the_model_are_known_too() -> None:
    groups = [*FUSED, ("o_proj", "down_proj")]
    assert names_to_load(NAMES, plans(f"{LAYER}self_attn.o_proj.weight"), groups) == [f"{LAYER}self_attn.o_proj.weight"]
    assert names_to_load(NAMES, {}, groups) == []


def test_the_digest_does_not_depend_on_order_and_does_on_every_bit() -> None:
    def digest(*pairs: tuple[str, torch.Tensor]) -> str:
        found = WeightsDigest()
        for name, tensor in pairs:
            found.add(name, tensor)
        return found.hex()

    a, b = torch.randn(7, 3).bfloat16(), torch.randn(5)
    assert digest(("a", a), ("b", b)) == digest(("b", b), ("a", a))
    assert digest(("a", a)) != digest(("b", a))
    for i in range(a.numel()):
        other = a.clone()
        other.view(torch.int16).view(-1)[i] ^= 1
        assert digest(("a", other)) != digest(("a", a))
    assert digest(("a", a.flip(0))) != digest(("a", a))


def test_held_tensors_are_those_of_the_checkpoint(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.randn(4, 3), "b": torch.randn(5)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text("{}")
    checkpoint = open_checkpoint(str(tmp_path))
    held = HeldTensors(checkpoint, ["a"], torch.device("cpu"), lambda tensor: tensor.clone())
    for name, start, stop in (("a", 2, 7), ("a", 0, None), ("b", 1, 3)):
        assert held.read(name, start, stop).equal(checkpoint.read(name, start, stop))
