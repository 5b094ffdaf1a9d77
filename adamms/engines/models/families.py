"""What a library has to find in a folder to load a model of one of our classes, from what its authors publish."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from adamms.checkpoint import Checkpoint
from adamms.engines.models.files import Files, as_text
from adamms.engines.models.llava.files import llava_files
from adamms.engines.models.onevision.files import onevision_files
from adamms.errors import UserError
from adamms.mapping.numbers import LanguageModelNumbers
from adamms.mapping.plan import ModelIdentity
from adamms.mapping.planner import numbers_of

CLIP = {
    "image_processor_type": "CLIPImageProcessor",
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
_REMOTE_CODE = ("auto_map", "transformers_version", "torch_dtype")  # of a config; we run no code of a checkpoint
_OWL_TOWER = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 448,
    "patch_size": 14,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-6,
}
_OWL_ABSTRACTOR = {
    "num_learnable_queries": 64,
    "hidden_size": 1024,
    "num_hidden_layers": 6,
    "num_attention_heads": 16,
    "intermediate_size": 2816,
    "layer_norm_eps": 1e-6,
    "encoder_hidden_size": 1024,
    "grid_size": 32,
}


@dataclass(frozen=True)
class Family:
    """Models in one layout.

    Attributes:
        files: name -> text of the files that take the place of a checkpoint's own.
        eager: each batch is sent several ways, which the graphs of a GPU cannot.
        second: whether a part of its weights may lie in a second repository (`vision_tower`).
    """

    files: Callable[[Checkpoint, LanguageModelNumbers], Files]
    eager: bool = False
    second: bool = False


def cogvlm_files(model: Checkpoint, numbers: LanguageModelNumbers) -> Files:
    """CogVLM's and CogVLM2's, told apart by their tensors, as their code has it."""
    vision = _section(model, "vision_config")
    conv = "model.vision.conv.weight" in model.tensors
    side = vision["image_size"] // vision["patch_size"] // (2 if conv else 1)
    config = {
        **_config(model, "cogvlm", "CogVLMForCausalLM", numbers),
        "vision_conv": conv,
        "vision_bias": any(name.endswith("vision_expert_query_key_value.bias") for name in model.tensors),
    }
    size = {"height": vision["image_size"], "width": vision["image_size"]}
    return {
        "config.json": as_text(config),
        "preprocessor_config.json": as_text({**CLIP, "size": size, "do_center_crop": False, "resample": 3}),
        "processor_config.json": as_text({"processor_class": "CogVLMProcessor", "image_tokens": side * side + 2}),
    }


def mplug_owl2_files(model: Checkpoint, numbers: LanguageModelNumbers) -> Files:
    """mPLUG-Owl2's on LLaMA, with what its code says where the config does not."""
    visual = _section(model, "visual_config")
    tower = {**_OWL_TOWER, **visual["visual_model"]}
    abstractor = {**_OWL_ABSTRACTOR, **{key: value for key, value in visual["visual_abstractor"].items() if value}}
    config = {
        **_config(model, "mplug_owl2", "MPLUGOwl2LlamaForCausalLM", numbers),
        "visual_config": {"visual_model": tower, "visual_abstractor": abstractor},
    }
    side, tokens = tower["image_size"], abstractor["num_learnable_queries"] + 1
    size = {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}, "resample": 3}
    return {
        "config.json": as_text(config),
        "preprocessor_config.json": as_text({**CLIP, **size}),
        "processor_config.json": as_text({"processor_class": "MplugOwl2Processor", "image_tokens": tokens}),
    }


# by the name of the architecture and the origin of the layout, which every plan has
FAMILIES: Mapping[tuple[str, str], Family] = {
    ("cogvlm", "THUDM"): Family(cogvlm_files, eager=True),
    ("cogvlm2", "THUDM"): Family(cogvlm_files, eager=True),
    ("mplug-owl2", "MAGAer13"): Family(mplug_owl2_files, eager=True),
    ("llava", "liuhaotian"): Family(llava_files, second=True),
    ("sharegpt4v", "Lin-Chen"): Family(llava_files, second=True),
    ("yi-vl", "01-ai"): Family(llava_files, second=True),
    ("llava-onevision", "lmms-lab"): Family(onevision_files, second=True),
}
REFUSED: Mapping[str, str] = {
    "cambrian": "its four vision towers, its spatial vision aggregator and the samplers between its decoder's layers",
}


def family_of(model: ModelIdentity) -> Family | None:
    """How a model is made loadable; None where it is loadable as it stands.

    Raises:
        UserError: no engine can load it.
    """
    missing = REFUSED.get(model.architecture)
    if missing is not None:
        raise UserError(
            f"{model.location}: no engine loads this base: AdaMMS has no code for {missing}; write candidates with "
            "`adamms merge --alpha`, answer the prompts with its authors' code, and choose with `adamms select`"
        )
    return FAMILIES.get((model.architecture, model.layout))


def files_of(family: Family, model: Checkpoint, identity: ModelIdentity) -> Files:
    """The files that take the place of a checkpoint's own, by name.

    Raises:
        UserError: its config lacks something.
    """
    try:
        return family.files(model, numbers_of(model, identity))
    except (KeyError, TypeError, ZeroDivisionError, AttributeError) as error:
        raise UserError(
            f"{model.folder}/config.json: does not say what its model is made of ({type(error).__name__}: {error}); "
            "take the file of its repository"
        ) from None


def _config(model: Checkpoint, kind: str, name: str, numbers: LanguageModelNumbers) -> dict[str, Any]:
    """The checkpoint's own config as this class of ours, with the numbers that its code fixes or calls otherwise."""
    own = {key: value for key, value in model.config.items() if key not in _REMOTE_CODE}
    half = numbers.head_dim // 2
    return {
        **own,
        "model_type": kind,
        "architectures": [name],
        "num_key_value_heads": numbers.kv_heads,
        "rms_norm_eps": numbers.rms_norm_eps,
        # vLLM keeps several channels of positions where there are sections; `routing` has its own use for them
        "rope_parameters": {"rope_type": "default", "rope_theta": numbers.rope_theta, "mrope_section": [half, 0, 0]},
        "dtype": model.config.get("torch_dtype", model.config.get("dtype")),
    }


def _section(model: Checkpoint, key: str) -> dict[str, Any]:
    value = model.config[key]
    if not isinstance(value, dict):
        raise TypeError(f"{key} is {type(value).__name__}")
    return value
