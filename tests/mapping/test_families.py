"""Every family's real names, merged, equals the canonical tensors merged by hand and written again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from adamms.checkpoint import Checkpoint, open_checkpoint
from adamms.errors import UserError
from adamms.mapping import plan_merge
from adamms.mapping.config import MappingConfig
from tests.support import checkpoints as c

ALPHA = 0.3
PAPER = MappingConfig()  # the defaults are the paper's


@dataclass(frozen=True)
class Family:
    """How a family writes a language model, and what it has besides."""

    config: Mapping[str, Any]
    names: Callable[[c.Weights, c.Sizes], c.Named]
    outside: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()  # what it duplicates for vision
    sizes: c.Sizes = c.GQA
    numbers: Callable[[c.Sizes], Mapping[str, Any]] = field(default=lambda sizes: sizes.config)
    bias: bool = False

    def weights(self, ancestor: c.Weights, seed: int) -> c.Weights:
        weights = c.tuned(ancestor, seed)
        return c.duplicated(weights, self.parts, seed + 100) if self.parts else weights

    def named(self, weights: c.Weights, seed: int = 99) -> c.Named:
        return {**self.names(weights, self.sizes), **c.outside(*self.outside, seed=seed)}

    def write(self, folder: Path, weights: c.Weights, seed: int = 99, **options: Any) -> Checkpoint:
        config = {**self.numbers(self.sizes), **self.config}
        vocabulary = options.pop("vocabulary", c.words(self.sizes.vocabulary))
        c.write_checkpoint(folder, self.named(weights, seed), config, vocabulary, **options)
        return open_checkpoint(str(folder))


def nested(key: str, model_type: str) -> Callable[[c.Sizes], Mapping[str, Any]]:
    return lambda sizes: {key: {**sizes.config, "model_type": model_type}}


def molmo_numbers(sizes: c.Sizes) -> Mapping[str, Any]:
    numbers = {**sizes.config, "intermediate_size": 2 * sizes.intermediate, "layer_norm_eps": 1e-5}
    return {key: value for key, value in numbers.items() if key not in ("rms_norm_eps", "head_dim")}


def molmo2_names(weights: c.Weights, sizes: c.Sizes) -> c.Named:
    """Molmo's, within modules of their own."""
    parts = {"att_proj": "self_attn.", "attn_out": "self_attn.", "ff_proj": "mlp.", "ff_out": "mlp."}
    found = {}
    for name, tensor in c.molmo_names(weights, sizes).items():
        start, _, leaf = name.rpartition(".blocks.")[2].rpartition(".")
        module = start.rpartition(".")[2]
        inside = name.replace(f".{module}.{leaf}", f".{parts.get(module, '')}{module}.{leaf}") if start else name
        found["lm_head.weight" if name == "model.transformer.ff_out.weight" else inside] = tensor
    return found


def phi4mm_names(weights: c.Weights, sizes: c.Sizes) -> c.Named:
    """Phi-3's, with adapters around every matrix."""
    around = ("qkv_proj.", "o_proj.", "gate_up_proj.", "down_proj.")
    wrapped = {name: next((part for part in around if part in name), "") for name in c.phi3_names(weights, sizes)}
    return {
        name.replace(wrapped[name], f"{wrapped[name]}base_layer.") if wrapped[name] else name: tensor
        for name, tensor in c.phi3_names(weights, sizes).items()
    }


LLAVA_HF = c.llama_names("language_model.model.", "language_model.")
TRANSFORMERS_5 = c.llama_names("model.language_model.", "")
LLAVA_OUTSIDE = (
    "vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight",
    "multi_modal_projector.linear_1.weight",
)
ORIGINAL_OUTSIDE = (
    "model.vision_tower.vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight",
    "model.mm_projector.0.weight",
)

GQA = {
    "qwen2": Family({"model_type": "qwen2"}, c.llama_names(), bias=True),
    "qwen2-vl": Family({"model_type": "qwen2_vl"}, c.llama_names(), ("visual.blocks.0.attn.qkv.weight",), bias=True),
    "qwen2-vl-transformers-5": Family(
        {"model_type": "qwen2_vl"}, TRANSFORMERS_5, ("model.visual.blocks.0.attn.qkv.weight",), bias=True,
        numbers=nested("text_config", "qwen2_vl_text"),
    ),
    "qwen2.5-vl": Family({"model_type": "qwen2_5_vl"}, c.llama_names(), ("visual.merger.mlp.0.weight",), bias=True),
    "qwen3-vl": Family(
        {"model_type": "qwen3_vl"}, TRANSFORMERS_5, ("model.visual.deepstack_merger_list.0.norm.weight",),
        numbers=nested("text_config", "qwen3_vl_text"),
    ),
    "llava-onevision-hf": Family(
        {"model_type": "llava_onevision"}, LLAVA_HF, (*LLAVA_OUTSIDE, "image_newline"), bias=True,
        numbers=nested("text_config", "qwen2"),
    ),
    "llava-onevision-lmms-lab": Family(
        {"model_type": "llava", "architectures": ["LlavaQwenForCausalLM"]}, c.llama_names(),
        (*ORIGINAL_OUTSIDE, "model.image_newline"), bias=True,
    ),
    "llava-next": Family(
        {"model_type": "llava_next"}, LLAVA_HF, (*LLAVA_OUTSIDE, "image_newline"),
        numbers=nested("text_config", "mistral"),
    ),
    "mistral": Family({"model_type": "mistral", "architectures": ["MistralForCausalLM"]}, c.llama_names()),
    "yi-vl": Family(
        {"model_type": "llava", "architectures": ["LlavaLlamaForCausalLM"], "mm_projector_type": "mlp2x_gelu_Norm"},
        c.llama_names(), ORIGINAL_OUTSIDE,
    ),
    "cambrian": Family(
        {"model_type": "cambrian_llama", "architectures": ["CambrianLlamaForCausalLM"]}, c.llama_names(),
        (
            "model.vision_sampler_layers.0.layers.0.proj_in.weight", "model.vision_query",
            "model.mm_projector.0.weight",
            "model.mm_projector_aux_0.0.weight", "model.vision_sampler_0.layers.0.cross_attn.q_proj.weight",
            "model.vision_tower_aux_list.0.vision_tower.x.weight", "model.image_newline",
        ),
    ),
    "internlm2": Family({"model_type": "internlm2"}, c.internlm2_names()),
    "internvl-internlm2": Family(
        {"model_type": "internvl_chat", "architectures": ["InternVLChatModel"]}, c.internlm2_names("language_model."),
        ("vision_model.encoder.layers.0.attn.qkv.weight", "mlp1.0.weight"), numbers=nested("llm_config", "internlm2"),
    ),
    "internvl-qwen2": Family(
        {"model_type": "internvl_chat", "architectures": ["InternVLChatModel"]}, LLAVA_HF,
        ("vision_model.embeddings.class_embedding", "mlp1.0.weight"), bias=True, numbers=nested("llm_config", "qwen2"),
    ),
    "minicpm-v": Family(
        {"model_type": "minicpmv", "architectures": ["MiniCPMV"]}, c.llama_names("llm.model.", "llm."),
        ("vpm.encoder.layers.0.self_attn.q_proj.weight", "resampler.query"), bias=True,
    ),
    "idefics2": Family(
        {"model_type": "idefics2"}, c.llama_names("model.text_model.", ""),
        ("model.vision_model.encoder.layers.0.self_attn.q_proj.weight", "model.connector.modality_projection.x.weight"),
        numbers=nested("text_config", "mistral"),
    ),
    "phi3": Family({"model_type": "phi3"}, c.phi3_names),
    "phi3-v": Family(
        {"model_type": "phi3_v"}, c.phi3_names,
        ("model.vision_embed_tokens.img_processor.vision_model.x.weight", "model.vision_embed_tokens.glb_GN"),
    ),
    "molmo": Family(
        {"model_type": "molmo"}, c.molmo_names,
        ("model.vision_backbone.image_vit.x.weight", "model.transformer.wte.new_embedding"), bias=True,
        numbers=molmo_numbers,
    ),
    "molmo2": Family(
        {"model_type": "molmo2"}, molmo2_names,
        ("model.vision_backbone.image_vit.x.weight", "model.transformer.wte.new_embedding"), bias=True,
    ),
    "phi4-multimodal": Family(
        {"model_type": "phi4mm"}, phi4mm_names,
        ("model.layers.0.self_attn.qkv_proj.lora_A.vision.weight", "model.layers.1.mlp.down_proj.lora_B.speech.weight",
         "model.embed_tokens_extend.image_embed.x.weight", "model.embed_tokens_extend.audio_embed.x.weight"),
    ),
    "qwen-omni": Family(
        {"model_type": "qwen2_5_omni"}, c.llama_names("thinker.model.", "thinker."),
        ("thinker.visual.x.weight", "thinker.audio_tower.x.weight", "talker.model.layers.0.x.weight"), bias=True,
        numbers=lambda sizes: {"thinker_config": {"text_config": {**sizes.config, "model_type": "qwen2_5_omni_text"}}},
    ),
    "kimi-vl": Family(
        {"model_type": "kimi_vl"}, LLAVA_HF, ("vision_tower.x.weight", "multi_modal_projector.linear_1.weight"),
        numbers=nested("text_config", "llama"),
    ),
    "deepseek-vl2": Family(
        {"model_type": "deepseek_vl_v2"}, c.llama_names("language.model.", "language."),
        ("vision.blocks.0.x.weight", "projector.layers.0.weight", "image_newline"),
        numbers=nested("language_config", "llama"),
    ),
}  # fmt: skip
MHA = {
    "llava-1.5-hf": Family(
        {"model_type": "llava"}, LLAVA_HF, LLAVA_OUTSIDE, numbers=nested("text_config", "llama"), sizes=c.MHA
    ),
    "llava-1.5-original": Family(
        {"model_type": "llava", "architectures": ["LlavaLlamaForCausalLM"]}, c.llama_names(), ORIGINAL_OUTSIDE,
        sizes=c.MHA,
    ),
    "sharegpt4v": Family(
        {"model_type": "share4v", "architectures": ["Share4VLlamaForCausalLM"]}, c.llama_names(), ORIGINAL_OUTSIDE,
        sizes=c.MHA,
    ),
    "vicuna": Family({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}, c.llama_names(), sizes=c.MHA),
    "cogvlm": Family(
        {"architectures": ["CogVLMForCausalLM"]}, c.cogvlm_names,
        ("model.vision.transformer.layers.0.attention.query_key_value.weight", "model.vision.boi"),
        c.COGVLM_PARTS, c.MHA,
    ),
    "mplug-owl2": Family(
        {"model_type": "mplug_owl2", "architectures": ["MPLUGOwl2LlamaForCausalLM"]}, c.mplug_owl2_names,
        ("model.vision_model.embeddings.cls_token", "model.visual_abstractor.query_embeds"), c.MPLUG_PARTS, c.MHA,
    ),
}  # fmt: skip
FAMILIES = {**GQA, **MHA}


def by_hand(base: c.Weights, donor: c.Weights, duplicates: str = "merge") -> c.Weights:
    """Section 3.1 in canonical terms: vision to vision, text to text, a duplicate to the original."""
    result = {}
    for (name, expert), weight in base.items():
        wanted: list[str | None] = {
            None: [None, "text"], "text": ["text", None], "vision": ["vision", None, "text"]
        }[expert]  # fmt: skip
        if duplicates == "keep" and expert == "vision":
            wanted = ["vision"]
        source = next((donor[name, e] for e in wanted if (name, e) in donor), weight)
        result[name, expert] = (1 - ALPHA) * weight + ALPHA * source
    return result


def merge(tmp_path: Path, base: Family, donor: Family, config: MappingConfig = PAPER, **options: Any) -> None:
    ancestor = c.language_model(sizes=base.sizes, bias=base.bias and donor.bias)
    ours, theirs = base.weights(ancestor, 1), donor.weights(ancestor, 2)
    first = base.write(tmp_path / "base", ours, 11, **options)
    second = donor.write(tmp_path / "donor", theirs, 12)
    plan = plan_merge(first, second, config)
    found = c.execute(plan, first, second, ALPHA)
    c.assert_same(found, base.named(by_hand(ours, theirs, config.duplicates), 11))
    assert [tensor.name for tensor in plan.tensors] == list(first.tensors)


@pytest.mark.parametrize("donor", ["qwen2", "phi3", "internlm2", "molmo"])
@pytest.mark.parametrize("base", GQA)
def test_a_family_takes_every_kind_of_donor(tmp_path: Path, base: str, donor: str) -> None:
    merge(tmp_path, GQA[base], GQA[donor])


@pytest.mark.parametrize("donor", MHA)
@pytest.mark.parametrize("base", MHA)
def test_the_papers_llama_families_merge_in_both_directions(tmp_path: Path, base: str, donor: str) -> None:
    merge(tmp_path, MHA[base], MHA[donor])


@pytest.mark.parametrize(
    ("base", "donor"),
    [
        ("qwen2-vl", "llava-onevision-lmms-lab"),
        ("qwen2-vl", "llava-onevision-hf"),
        ("qwen2-vl-transformers-5", "llava-onevision-hf"),
        ("cambrian", "yi-vl"),
        ("molmo", "qwen2-vl"),
        ("internvl-internlm2", "internvl-qwen2"),
    ],
)
def test_pairs(tmp_path: Path, base: str, donor: str) -> None:
    merge(tmp_path, GQA[base], GQA[donor])


@pytest.mark.parametrize("donor", ["llava-1.5-original", "mplug-owl2", "cogvlm"])
@pytest.mark.parametrize("base", ["cogvlm", "mplug-owl2"])
def test_duplicates_keep(tmp_path: Path, base: str, donor: str) -> None:
    merge(tmp_path, MHA[base], MHA[donor], MappingConfig(duplicates="keep"))


def test_a_donor_that_lacks_a_text_weight_is_refused_whatever_is_done_with_duplicates(tmp_path: Path) -> None:
    cogvlm, llava, ancestor = MHA["cogvlm"], MHA["llava-1.5-original"], c.language_model(sizes=c.MHA)
    base = cogvlm.write(tmp_path / "base", cogvlm.weights(ancestor, 1))
    theirs = llava.weights(ancestor, 2)
    del theirs["layers.1.mlp.up_proj.weight", None]
    donor = llava.write(tmp_path / "donor", theirs)
    for duplicates in ("merge", "keep"):
        with pytest.raises(UserError, match=r"1 tensors of the language model of .*1\.mlp\.language_mlp\.up_proj"):
            plan_merge(base, donor, MappingConfig(duplicates=duplicates))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
@pytest.mark.parametrize("shards", [1, 3])
def test_every_kind_of_file(tmp_path: Path, kind: str, shards: int) -> None:
    merge(tmp_path, MHA["llava-1.5-original"], MHA["mplug-owl2"], kind=kind, shards=shards)


@pytest.mark.parametrize("name", FAMILIES)
def test_recognised_with_every_tensor_in_its_place(tmp_path: Path, name: str) -> None:
    family = FAMILIES[name]
    weights = family.weights(c.language_model(sizes=family.sizes, bias=family.bias), 1)
    checkpoint = family.write(tmp_path, weights)
    plan = plan_merge(checkpoint, checkpoint, MappingConfig())
    assert plan.base.architecture in name or name in ("vicuna", "llava-1.5-hf", "llava-1.5-original")
    kept = {tensor.name for tensor in plan.tensors if not tensor.merges}
    assert kept == set(family.outside)
    roles = {tensor.role for tensor in plan.tensors if tensor.name in kept}
    assert "other" not in roles
    assert all(tensor.reason for tensor in plan.tensors if not tensor.merges)


def test_cogvlm_takes_its_experts_from_llava_as_the_paper_says(tmp_path: Path) -> None:
    base, donor = MHA["cogvlm"], MHA["llava-1.5-original"]
    ancestor = c.language_model(sizes=c.MHA)
    ours = base.write(tmp_path / "base", base.weights(ancestor, 1))
    theirs = donor.write(tmp_path / "donor", donor.weights(ancestor, 2))
    plan = {tensor.name: tensor for tensor in plan_merge(ours, theirs, MappingConfig()).tensors}
    size = c.MHA.hidden
    for word in ("language", "vision"):
        pieces = plan[f"model.layers.1.self_attn.{word}_expert_query_key_value.weight"].pieces
        assert [(p.start, p.stop, p.sources[0].tensor, p.sources[0].start) for p in pieces] == [
            (i * size, (i + 1) * size, f"model.layers.1.self_attn.{x}_proj.weight", 0) for i, x in enumerate("qkv")
        ]
        (source,) = plan[f"model.layers.1.mlp.{word}_mlp.up_proj.weight"].pieces[0].sources
        assert source.tensor == "model.layers.1.mlp.up_proj.weight"


def test_cogvlm_and_mplug_owl2_exchange_vision_for_vision(tmp_path: Path) -> None:
    cogvlm, mplug = MHA["cogvlm"], MHA["mplug-owl2"]
    ancestor = c.language_model(sizes=c.MHA)
    first = cogvlm.write(tmp_path / "cogvlm", cogvlm.weights(ancestor, 1))
    second = mplug.write(tmp_path / "mplug", mplug.weights(ancestor, 2))
    into_cogvlm = {tensor.name: tensor for tensor in plan_merge(first, second, MappingConfig()).tensors}
    into_mplug = {tensor.name: tensor for tensor in plan_merge(second, first, MappingConfig()).tensors}
    layer, size = "model.layers.0.", c.MHA.hidden

    def donors(plan: dict[str, Any], name: str) -> list[tuple[str, int]]:
        sources = (source for piece in plan[layer + name].pieces for source in piece.sources)
        return [(source.tensor.removeprefix(layer), source.start) for source in sources]

    assert donors(into_cogvlm, "self_attn.vision_expert_query_key_value.weight") == [
        ("self_attn.q_proj.weight", 0),
        ("self_attn.k_proj.multiway.1.weight", 0),
        ("self_attn.v_proj.multiway.1.weight", 0),
    ]
    assert donors(into_cogvlm, "input_layernorm.weight") == [("input_layernorm.multiway.0.weight", 0)]
    qkv = "self_attn.{}_expert_query_key_value.weight"
    assert donors(into_mplug, "self_attn.q_proj.weight") == [(qkv.format("language"), 0)]
    assert donors(into_mplug, "self_attn.k_proj.multiway.0.weight") == [(qkv.format("language"), size)]
    assert donors(into_mplug, "self_attn.v_proj.multiway.1.weight") == [(qkv.format("vision"), 2 * size)]
    assert donors(into_mplug, "input_layernorm.multiway.1.weight") == [("input_layernorm.weight", 0)]
    assert donors(into_mplug, "mlp.up_proj.weight") == [("mlp.language_mlp.up_proj.weight", 0)]
