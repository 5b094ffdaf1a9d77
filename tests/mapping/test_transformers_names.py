"""Names taken from transformers' own classes, so that an upgrade that renames something fails here.

A tiny model of each class and a text-only fine-tune are saved as transformers saves them and merged; the result,
loaded by the class again, has to hold in its language model the average of the two by the modules' own names.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from adamms.checkpoint import Checkpoint, open_checkpoint
from adamms.mapping import plan_merge
from adamms.mapping.config import MappingConfig
from tests.support import checkpoints as c

transformers.utils.logging.disable_progress_bar()

ALPHA = 0.25
TEXT: dict[str, Any] = {
    "hidden_size": 24, "intermediate_size": 10, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 6, "vocab_size": 37, "max_position_embeddings": 64,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": False,
}  # fmt: skip
VISION: dict[str, Any] = {
    "hidden_size": 16, "intermediate_size": 20, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28,
    "patch_size": 14,
}  # fmt: skip
QWEN_VISION = {"depth": 1, "hidden_size": 16, "num_heads": 2, "out_hidden_size": 24, "intermediate_size": 20}
THETA = {"rope_type": "default", "rope_theta": 1e6}
MROPE = {**THETA, "mrope_section": [1, 1, 1]}
CLIP, SIGLIP = {**VISION, "model_type": "clip_vision_model"}, {**VISION, "model_type": "siglip_vision_model"}


def text(model_type: str, **more: Any) -> dict[str, Any]:
    return {**TEXT, "model_type": model_type, **more}


PERCEIVER = {
    "hidden_size": 24, "resampler_n_latents": 2, "resampler_depth": 1, "resampler_n_heads": 2, "resampler_head_dim": 4,
    "num_key_value_heads": 1,
}  # fmt: skip
# class -> (its configuration, the plain language model that stands in it, the architecture it is recognised as)
MODELS: dict[str, tuple[dict[str, Any], str, str]] = {
    "Qwen2VL": (
        {"text_config": {**TEXT, "rope_parameters": MROPE},
         "vision_config": {"depth": 1, "embed_dim": 16, "num_heads": 2, "hidden_size": 24, "mlp_ratio": 2}},
        "Qwen2", "qwen2-vl",
    ),
    "Qwen2_5_VL": (
        {"text_config": {**TEXT, "rope_parameters": MROPE}, "vision_config": QWEN_VISION}, "Qwen2", "qwen2.5-vl",
    ),
    "Qwen3VL": (
        {"text_config": {**TEXT, "rope_parameters": {**MROPE, "mrope_interleaved": True}},
         "vision_config": {**QWEN_VISION, "deepstack_visual_indexes": [0]}},
        "Qwen3", "qwen3-vl",
    ),
    "Llava": ({"text_config": text("llama"), "vision_config": CLIP}, "Llama", "llava"),
    "LlavaNext": ({"text_config": text("mistral"), "vision_config": CLIP}, "Mistral", "llava-next"),
    "LlavaOnevision": ({"text_config": text("qwen2"), "vision_config": SIGLIP}, "Qwen2", "llava-onevision"),
    "InternVL": (
        {"text_config": text("qwen2"), "tie_word_embeddings": False,
         "vision_config": {**VISION, "image_size": [28, 28], "patch_size": [14, 14]}},
        "Qwen2", "internvl",
    ),
    "Idefics2": (
        {"text_config": text("mistral"), "vision_config": VISION, "perceiver_config": PERCEIVER}, "Mistral", "idefics2",
    ),
    "Idefics3": (
        {"text_config": text("llama"), "vision_config": VISION, "scale_factor": 2, "pad_token_id": 0},
        "Llama", "idefics3",
    ),
    "SmolVLM": (
        {"text_config": text("llama"), "vision_config": VISION, "scale_factor": 2, "pad_token_id": 0},
        "Llama", "idefics3",
    ),
    "Gemma3": (
        {"text_config": text("gemma3_text"), "vision_config": SIGLIP, "mm_tokens_per_image": 1,
         "tie_word_embeddings": False}, "Gemma3", "gemma3",
    ),
    "Glm4v": ({"text_config": {**TEXT, "rope_parameters": THETA}, "vision_config": QWEN_VISION}, "Glm4", "glm4v"),
    "Mistral3": (
        {"text_config": text("mistral"), "vision_config": {**VISION, "model_type": "pixtral", "head_dim": 8},
         "tie_word_embeddings": False},
        "Mistral", "mistral3",
    ),
}  # fmt: skip
PLAIN = {
    "Qwen2": "qwen2", "Qwen3": "qwen3", "Llama": "llama", "Mistral": "mistral", "Gemma": "gemma", "Gemma2": "gemma",
    "Gemma3": "gemma", "Phi3": "phi3", "Glm4": "glm4",
}  # fmt: skip


def multimodal(name: str) -> Any:
    config = getattr(transformers, f"{name}Config")(**MODELS[name][0])
    return getattr(transformers, f"{name}ForConditionalGeneration")(config)


def plain(name: str, theta: float = 10000.0) -> Any:
    kind = "Gemma3TextConfig" if name == "Gemma3" else f"{name}Config"
    config = getattr(transformers, kind)(**TEXT)
    return getattr(transformers, f"{name}ForCausalLM")(config)


def save(model: Any, folder: Path) -> Checkpoint:
    with torch.no_grad():
        for parameter in model.parameters():  # norms and biases begin as ones and zeros: alike in all models
            parameter.normal_(std=0.1)
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": c.words(37)}}))
    return open_checkpoint(str(folder))


def modules(model: Any) -> dict[str, torch.Tensor]:
    """The language model's weights by the modules' own names, whatever the files call them."""
    decoder = model.get_decoder()
    return {**decoder.state_dict(), "lm_head": model.get_output_embeddings().weight}


@pytest.mark.parametrize("name", MODELS)
def test_a_real_class_merges_with_a_text_only_fine_tune(tmp_path: Path, name: str) -> None:
    _, language_model, architecture = MODELS[name]
    torch.manual_seed(0)
    base, donor = multimodal(name), plain(language_model)
    first, second = save(base, tmp_path / "base"), save(donor, tmp_path / "donor")
    plan = plan_merge(first, second, MappingConfig(rope_check="off"))
    assert plan.base.architecture == architecture
    assert "other" not in {tensor.role for tensor in plan.tensors}
    assert plan.unused == ({},)

    merged = c.execute(plan, first, second, ALPHA)
    c.write_checkpoint(tmp_path / "merged", merged, first.config)
    found = modules(type(base).from_pretrained(tmp_path / "merged"))
    ours, theirs = modules(base), modules(donor)
    assert found.keys() == ours.keys() == theirs.keys()
    for key, tensor in found.items():
        torch.testing.assert_close(tensor, (1 - ALPHA) * ours[key] + ALPHA * theirs[key], msg=key)


@pytest.mark.parametrize("name", PLAIN)
def test_a_real_language_model_has_every_tensor_in_its_place(tmp_path: Path, name: str) -> None:
    checkpoint = save(plain(name), tmp_path)
    plan = plan_merge(checkpoint, checkpoint, MappingConfig())
    assert plan.base.architecture == PLAIN[name]
    assert all(tensor.merges for tensor in plan.tensors)


@pytest.mark.parametrize("name", ["Phi3", "Glm4"])
def test_fused_rows_are_in_the_order_that_the_class_computes_with(tmp_path: Path, name: str) -> None:
    """gate above up: the output of the class's own MLP, computed by hand from the halves of the file's matrix."""
    torch.manual_seed(1)
    model = plain(name)
    mlp = model.get_decoder().layers[0].mlp
    checkpoint = save(model, tmp_path)
    (tensor,) = [
        t for t in plan_merge(checkpoint, checkpoint, MappingConfig()).tensors if "layers.0.mlp.gate_up" in t.name
    ]
    assert tensor.role == "mlp.gate_proj.weight+mlp.up_proj.weight"
    fused = checkpoint.read(tensor.name).reshape(tensor.shape)
    gate, up = fused[: TEXT["intermediate_size"]], fused[TEXT["intermediate_size"] :]
    x = torch.randn(1, 3, TEXT["hidden_size"])
    by_hand = mlp.down_proj(torch.nn.functional.silu(x @ gate.T) * (x @ up.T))
    torch.testing.assert_close(mlp(x), by_hand)


def test_nested_configs_mean_what_their_class_means() -> None:
    """The defaults that stand in for what a nested configuration leaves out, against the classes."""
    from adamms.mapping.architecture import text_defaults

    classes = {
        "qwen2_vl_text": "Qwen2VLTextConfig", "qwen2_5_vl_text": "Qwen2_5_VLTextConfig",
        "qwen3_vl_text": "Qwen3VLTextConfig", "glm4v_text": "Glm4vTextConfig",
    }  # fmt: skip
    checked = 0
    for model_type, defaults in text_defaults().items():
        if model_type == "internlm2":  # remote code
            continue
        if model_type in classes:
            config = getattr(transformers, classes[model_type])()
        else:
            config = transformers.CONFIG_MAPPING[model_type]()
        for key, value in defaults.items():
            if key == "rope_theta":
                parameters = config.rope_parameters
                found = parameters.get("full_attention", parameters)["rope_theta"]
            else:
                found = getattr(config, key)
            assert found == value, f"{model_type}: {key}"
            checked += 1
    assert checked > 60


def test_llava_hf_says_no_size_at_all() -> None:
    """llava-hf/llava-1.5-7b-hf: what its text_config does not say is LLaMA's."""
    from adamms.mapping.architecture import named_architecture
    from adamms.mapping.numbers import LanguageModelNumbers

    config = {
        "model_type": "llava",
        "text_config": {
            "model_type": "llama",
            "rms_norm_eps": 1e-05,
            "max_position_embeddings": 4096,
            "vocab_size": 32064,
        },
        "vision_config": {"hidden_size": 1024, "num_hidden_layers": 24},
    }
    numbers = LanguageModelNumbers.of(config, named_architecture("llava"), "config.json")
    assert (numbers.layers, numbers.hidden_size, numbers.heads, numbers.kv_heads) == (32, 4096, 32, 32)
    assert (numbers.intermediate_size, numbers.head_dim, numbers.rope_theta) == (11008, 128, 10000.0)
