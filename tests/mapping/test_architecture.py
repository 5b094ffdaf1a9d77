"""Architectures are data: recognised by class, model_type or structure, named, or described in a user's own file."""

from __future__ import annotations

from pathlib import Path

import pytest

from adamms.checkpoint import Checkpoint, open_checkpoint
from adamms.errors import UserError
from adamms.mapping import plan_merge
from adamms.mapping.architecture import FOLDER, known_architectures, load_architecture, recognise
from adamms.mapping.config import MappingConfig
from tests.support import checkpoints as c

# A family that the package does not know: fused keys and values, its own words, a duplicated down_proj.
HELD_OUT = """
name: kiwi
title: Kiwi-VL
model_types: [kiwi]
language_model: [llama]
layouts:
  - {origin: kiwi, model: "brain.", head: "mouth."}
tensors:
  "{model}tok.weight": embed_tokens.weight
  "{head}weight": lm_head.weight
  "{model}stack.{layer}.vk.weight":
    concatenate: ["layers.{layer}.self_attn.v_proj.weight", "layers.{layer}.self_attn.k_proj.weight"]
  "{model}stack.{layer}.q.weight": "layers.{layer}.self_attn.q_proj.weight"
  "{model}stack.{layer}.o.weight": "layers.{layer}.self_attn.o_proj.weight"
  "{model}stack.{layer}.gate.weight": "layers.{layer}.mlp.gate_proj.weight"
  "{model}stack.{layer}.up.weight": "layers.{layer}.mlp.up_proj.weight"
  "{model}stack.{layer}.down.see.weight": {is: "layers.{layer}.mlp.down_proj.weight", expert: vision}
  "{model}stack.{layer}.down.read.weight": {is: "layers.{layer}.mlp.down_proj.weight", expert: text}
  "{model}stack.{layer}.n1.weight": "layers.{layer}.input_layernorm.weight"
  "{model}stack.{layer}.n2.weight": "layers.{layer}.post_attention_layernorm.weight"
kept:
  vision: ["eyes."]
numbers: {hidden_size: width}
"""


def kiwi_names(weights: c.Weights) -> c.Named:
    named = {
        "brain.tok.weight": weights["embed_tokens.weight", None],
        "brain.norm.weight": weights["norm.weight", None],
        "mouth.weight": weights["lm_head.weight", None],
    }
    for i in range(2):
        at = {(name.split(".", 2)[2], e): w for (name, e), w in weights.items() if name.startswith(f"layers.{i}.")}
        s = f"brain.stack.{i}."
        named[s + "vk.weight"] = c.torch.cat([at["self_attn.v_proj.weight", None], at["self_attn.k_proj.weight", None]])
        named[s + "q.weight"] = at["self_attn.q_proj.weight", None]
        named[s + "o.weight"] = at["self_attn.o_proj.weight", None]
        named[s + "gate.weight"] = at["mlp.gate_proj.weight", None]
        named[s + "up.weight"] = at["mlp.up_proj.weight", None]
        named[s + "down.see.weight"] = at["mlp.down_proj.weight", "vision"]
        named[s + "down.read.weight"] = at["mlp.down_proj.weight", "text"]
        named[s + "n1.weight"] = at["input_layernorm.weight", None]
        named[s + "n2.weight"] = at["post_attention_layernorm.weight", None]
    return named


def qwen(folder: Path, weights: c.Weights, **options: object) -> Checkpoint:
    config = {**c.GQA.config, "model_type": "qwen2"}
    return open_checkpoint(str(c.write_checkpoint(folder, c.llama_names()(weights, c.GQA), config, c.words(37))))


def test_a_held_out_family_needs_no_python(tmp_path: Path) -> None:
    (tmp_path / "kiwi.yaml").write_text(HELD_OUT)
    ancestor = c.language_model()
    ours, theirs = c.duplicated(c.tuned(ancestor, 1), ("down_proj",), 3), c.tuned(ancestor, 2)
    config = {key: value for key, value in c.GQA.config.items() if key != "hidden_size"}
    named = {**kiwi_names(ours), **c.outside("eyes.0.weight")}
    folder = c.write_checkpoint(tmp_path / "base", named, {**config, "model_type": "kiwi", "width": 24}, c.words(37))
    base, donor = open_checkpoint(str(folder)), qwen(tmp_path / "donor", theirs)
    into_kiwi = plan_merge(base, donor, MappingConfig(base_architecture=str(tmp_path / "kiwi.yaml")))
    by_hand = {(name, e): (w + theirs[name, None]) / 2 for (name, e), w in ours.items()}
    c.assert_same(
        c.execute(into_kiwi, base, donor, 0.5), {**kiwi_names(by_hand), "eyes.0.weight": named["eyes.0.weight"]}
    )

    into_qwen = plan_merge(donor, base, MappingConfig(donor_architecture=str(tmp_path / "kiwi.yaml")))
    by_hand = {
        (name, None): (w + ours.get((name, None), ours.get((name, "text")))) / 2 for (name, _), w in theirs.items()
    }
    c.assert_same(c.execute(into_qwen, donor, base, 0.5), c.llama_names()(by_hand, c.GQA))
    assert "brain.stack.0.down.see.weight" in into_qwen.unused[0]


def test_unknown_families_are_recognised_by_structure_and_it_says_so(tmp_path: Path) -> None:
    ancestor = c.language_model(bias=True)
    named = {
        **c.llama_names("stuff.text.", "stuff.")(c.tuned(ancestor, 1), c.GQA),
        **c.outside("stuff.eye.layers.0.self_attn.q_proj.weight", "stuff.bridge.weight"),
    }
    config = {"model_type": "never-seen", "text_config": c.GQA.config}
    base = open_checkpoint(str(c.write_checkpoint(tmp_path / "base", named, config, c.words(37))))
    plan = plan_merge(base, qwen(tmp_path / "donor", c.tuned(ancestor, 2)), MappingConfig())
    assert plan.base.architecture == "by structure"
    assert (
        "base: no known family; its language model was guessed: 2 layers under 'stuff.text.layers' beside "
        "'stuff.text.embed_tokens.weight'; all else is kept" in plan.notes
    )
    kept = [tensor.name for tensor in plan.tensors if not tensor.merges]
    assert sorted(kept) == ["stuff.bridge.weight", "stuff.eye.layers.0.self_attn.q_proj.weight"]


def test_what_cannot_be_recognised_says_how_to_go_on(tmp_path: Path) -> None:
    folder = c.write_checkpoint(tmp_path, c.outside("a.weight"), {"model_type": "odd"})
    checkpoint = open_checkpoint(str(folder))
    with pytest.raises(UserError, match=r"model_type 'odd' .* mapping\.base_architecture="):
        plan_merge(checkpoint, checkpoint, MappingConfig())
    with pytest.raises(UserError, match="unknown architecture 'nonsense'; known are cambrian, cogvlm"):
        plan_merge(checkpoint, checkpoint, MappingConfig(base_architecture="nonsense"))
    with pytest.raises(UserError, match=r"has none of the names of Qwen2-VL: model\.\* \(Qwen\)"):
        plan_merge(checkpoint, checkpoint, MappingConfig(base_architecture="qwen2-vl"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "TypeError"),
        ("[", "ParserError"),
        ("- a", "unknown keys"),
        (HELD_OUT.replace("kept:", "keep:"), "unknown keys.*'keep'"),
        (HELD_OUT.replace("[llama]", "[lama]"), "no 'lama'; known are cogvlm"),
        (HELD_OUT.replace("{is:", "{was:"), "expected one of is/concatenate/grouped"),
        (HELD_OUT.replace("name: kiwi\n", ""), "KeyError"),
        (HELD_OUT.replace("origin: kiwi, ", ""), "origin"),
    ],
)
def test_a_file_that_describes_no_architecture(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(UserError, match=words) as found:
        load_architecture(tmp_path / "a.yaml")
    assert "\n" not in str(found.value)


def test_the_class_decides_before_model_type() -> None:
    names = {"model.embed_tokens.weight"}
    config = {"model_type": "llava", "architectures": ["LlavaQwenForCausalLM"]}
    assert recognise(config, names).name == "llava-onevision"  # type: ignore[union-attr]
    config = {"model_type": "llava", "architectures": ["LlavaLlamaForCausalLM"]}
    assert recognise(config, names).name == "llava"  # type: ignore[union-attr]
    config = {**config, "mm_projector_type": "mlp2x_gelu_Norm"}
    assert recognise(config, names).name == "yi-vl"  # type: ignore[union-attr]
    assert recognise({"model_type": "llava", "architectures": [7, None]}, names) is not None
    assert recognise({"model_type": ["llava"]}, names) is None


def test_shipped_architectures_are_named_as_their_files() -> None:
    files = {path.stem.replace("_", "-") for path in FOLDER.glob("*.yaml")}
    names = {name.replace("minicpm-v", "minicpmv").replace(".", "-") for name in known_architectures()}
    assert names == files
