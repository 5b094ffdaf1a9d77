"""Files for LLaVA-1.5, ShareGPT4V and Yi-VL in the layout of LLaVA's own code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adamms.checkpoint import Checkpoint
from adamms.checkpoint.json_file import read_json
from adamms.engines.models.files import Files, as_text
from adamms.engines.models.vision_tower import is_inside, tower_config, tower_folder
from adamms.errors import UserError
from adamms.mapping.numbers import LanguageModelNumbers

_LANGUAGE = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "hidden_act",
    "max_position_embeddings",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "attention_bias",
    "mlp_bias",
)


def llava_files(model: Checkpoint, numbers: LanguageModelNumbers) -> Files:
    """The vision tower is the checkpoint's own where it has one, else that of the repository which the config names;
    its sizes and its image processor are always of that repository."""
    own = model.config
    folder = tower_folder(model)
    vision, pixels = tower_config(folder), read_json(folder / "preprocessor_config.json")
    projector, layer = own.get("mm_projector_type", "linear"), own.get("mm_vision_select_layer", -2)
    if projector not in ("mlp2x_gelu", "mlp2x_gelu_Norm") or own.get("mm_vision_select_feature", "patch") != "patch":
        raise UserError(
            f"{model.folder}/config.json: mm_projector_type {projector!r} with the features "
            f"{own.get('mm_vision_select_feature', 'patch')!r} is none of LLaVA-1.5's and its kin's"
        )
    config = {
        "model_type": "original_llava",
        "architectures": ["OriginalLlavaForConditionalGeneration"],
        "text_config": language_config(model, numbers, "llama", "LlamaForCausalLM"),
        "vision_config": vision,
        "vision_feature_layer": layer,
        "vision_feature_select_strategy": "default",
        "projector_norms": projector.endswith("_Norm"),
        **common(model, numbers, folder),
    }
    tokens, pad = (vision["image_size"] // vision["patch_size"]) ** 2, own.get("image_aspect_ratio") == "pad"
    processor = {"processor_class": "OriginalLlavaProcessor", "image_tokens": tokens, "pad": pad}
    return {
        "config.json": as_text(config),
        "preprocessor_config.json": as_text(pixels),
        "processor_config.json": as_text(processor),
    }


def language_config(model: Checkpoint, numbers: LanguageModelNumbers, kind: str, name: str) -> dict[str, Any]:
    """The language model's, as a class of transformers has it."""
    return {
        **{key: model.config[key] for key in _LANGUAGE if key in model.config},
        "model_type": kind,
        "architectures": [name],
        "num_key_value_heads": numbers.kv_heads,
        "head_dim": numbers.head_dim,
        "rms_norm_eps": numbers.rms_norm_eps,
        "rope_parameters": {"rope_type": "default", "rope_theta": numbers.rope_theta},
        "tie_word_embeddings": numbers.tied_embeddings,
    }


def common(model: Checkpoint, numbers: LanguageModelNumbers, tower: Path) -> dict[str, Any]:
    """What the configs of all of LLaVA's kind have alike."""
    return {
        "image_token_index": 0,  # vLLM asks whether it is in the vocabulary, which ours is
        "tie_word_embeddings": numbers.tied_embeddings,
        "dtype": model.config.get("torch_dtype", model.config.get("dtype")),
        "tower": "" if is_inside(model) else str(tower),
    }
