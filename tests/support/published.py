"""Tiny checkpoints of the repositories that the ready pairs name, each in its authors' layout, in a cache as the Hub's
client has it: so a pair's file is run as it stands."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.support import authors, tiny_models

CLIP, SIGLIP = "openai/clip-vit-large-patch14-336", "google/siglip-so400m-patch14-384"
SHAREGPT4V_CLIP = "Lin-Chen/ShareGPT4V-7B_Pretrained_vit-large336-l12"
QWEN = tiny_models.Size(rope_theta=1e6)
QWEN_TOKENS = (*tiny_models.SHARED_TOKENS, *tiny_models.BASE_TOKENS)


def publish(repository: str, hub: Path) -> Path:
    """Writes a repository into the cache; gives the folder of its main branch."""
    folder = authors.cached(hub, repository)
    MAKERS[repository](folder, zlib.crc32(repository.encode()) % 1000, hub)
    return folder


def _cogvlm(folder: Path, seed: int, hub: Path) -> None:
    """Its repository has no tokenizer."""
    authors.save_cogvlm(folder, seed)
    for file in folder.glob("tokenizer*"):
        file.unlink()


def _vicuna(folder: Path, seed: int, hub: Path) -> None:
    """The tokenizer, which is all that CogVLM needs of it."""
    authors.write_tokenizer(folder)


def _mplug_owl2(folder: Path, seed: int, hub: Path) -> None:
    authors.save_mplug_owl2(folder, seed)


def _llava(folder: Path, seed: int, hub: Path) -> None:
    authors.save_llava(folder, seed, tower=CLIP, hub=hub)


def _sharegpt4v(folder: Path, seed: int, hub: Path) -> None:
    authors.save_llava(folder, seed, kind="share4v", tower=SHAREGPT4V_CLIP, hub=hub)


def _onevision(folder: Path, seed: int, hub: Path) -> None:
    authors.save_onevision(folder, seed, tower=SIGLIP, hub=hub)


def _yi_vl(folder: Path, seed: int, hub: Path) -> None:
    authors.save_llava(folder, seed, norms=True, tower="./vit/clip-of-yi-vl")


def _cambrian(folder: Path, seed: int, hub: Path) -> None:
    """Its language model, and a little of each of the rest."""
    config = {**authors.llava_config("", "cambrian_llama"), "architectures": ["CambrianLlamaForCausalLM"]}
    config |= {"num_key_value_heads": 1, "rope_theta": 5000000.0}
    shapes = authors.language_shapes(config)
    shapes |= {"model.vision_tower_aux_list.0.vision_tower.bias": (8,), "model.vision_query": (1, 8)}
    shapes |= {"model.vision_sampler_layers.0.weight": (8, 8), "model.image_newline": (64,)}
    authors.write(folder, config, shapes, seed)
    authors.write_tokenizer(folder)


def _llava_hf(folder: Path, seed: int, hub: Path) -> None:
    """transformers' LLaVA with the names of its first years, and two tokens more."""
    rows = authors.VOCABULARY
    own = {**authors.llava_config(""), "vocab_size": rows + 64}
    names = {
        "model.vision_tower.vision_tower.": "vision_tower.",
        "model.mm_projector.0.": "multi_modal_projector.linear_1.",
        "model.mm_projector.2.": "multi_modal_projector.linear_2.",
        "lm_head.": "language_model.lm_head.",
        "model.": "language_model.model.",
    }
    shapes = _renamed(authors.llava_shapes(own, inside=True), names)
    config = {
        "architectures": ["LlavaForConditionalGeneration"],
        "model_type": "llava",
        "image_token_index": rows,
        "pad_token_id": rows + 1,
        "projector_hidden_act": "gelu",
        "text_config": {**_language(own), "model_type": "llama", "architectures": ["LlamaForCausalLM"]},
        "torch_dtype": "float16",
        "vision_config": authors.CLIP_TOWER,
        "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default",
        "vocab_size": rows + 64,
    }
    authors.write(folder, config, shapes, seed)
    spare = tuple(f"<spare_{i}>" for i in range(authors.SPARE))  # so that the two come after all rows of LLaVA's own
    authors.write_tokenizer(folder, (*spare, "<image>", "<pad>"))
    authors.write_clip_processor(folder)
    processor = {"processor_class": "LlavaProcessor", "image_token": "<image>", "patch_size": 8}
    processor |= {"num_additional_image_tokens": 1, "vision_feature_select_strategy": "default"}
    (folder / "processor_config.json").write_text(json.dumps(processor))
    template = tiny_models.TEMPLATE.replace("IMAGE", "<image>").replace("<|im_end|>", "").replace("<|im_start|>", "")
    (folder / "chat_template.jinja").write_text(template)


def _qwen2_vl(folder: Path, seed: int, hub: Path) -> None:
    tiny_models.save_qwen2_vl(folder, seed, size=QWEN)


def _qwen2_5_vl(folder: Path, seed: int, hub: Path) -> None:
    tiny_models.save_qwen2_5_vl(folder, seed, size=QWEN)


def _coder(folder: Path, seed: int, hub: Path) -> None:
    """A text model: Qwen2's names, nothing else."""
    config = {**_qwen_language(), "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}
    authors.write(folder, config, authors.language_shapes(config, biases=True), seed)
    tiny_models.make_tokenizer(QWEN_TOKENS).save_pretrained(folder)


def _internvl3(folder: Path, seed: int, hub: Path) -> None:
    """Two tokens and two rows more."""
    language = {**_qwen_language(), "vocab_size": tiny_models.VOCABULARY + 2, "model_type": "qwen2"}
    language |= {"architectures": ["Qwen2ForCausalLM"], "rope_scaling": {"factor": 2.0, "rope_type": "dynamic"}}
    shapes = _renamed(authors.language_shapes(language, biases=True), {"": "language_model."})
    shapes |= {"mlp1.1.weight": (64, 64), "vision_model.embeddings.class_embedding": (1, 1, 16)}
    config = {"architectures": ["InternVLChatModel"], "model_type": "internvl_chat", "llm_config": language}
    authors.write(folder, {**config, "vision_config": {"hidden_size": 16}}, shapes, seed)
    tiny_models.make_tokenizer((*QWEN_TOKENS, "<img>", "</img>")).save_pretrained(folder)


def _minicpm_v(folder: Path, seed: int, hub: Path) -> None:
    """Other tokens than Qwen2-VL's after the shared ones."""
    config = {**_qwen_language(), "architectures": ["MiniCPMV"], "model_type": "minicpmv", "version": 2.6}
    shapes = _renamed(authors.language_shapes(config, biases=True), {"": "llm."})
    shapes |= {"resampler.query": (4, 64), "vpm.embeddings.patch_embedding.weight": (16, 3, 8, 8)}
    authors.write(folder, {**config, "vision_config": {"hidden_size": 16}}, shapes, seed)
    tiny_models.make_tokenizer((*tiny_models.SHARED_TOKENS, "<image>", "</image>")).save_pretrained(folder)


def _qwen_language() -> dict[str, Any]:
    """That of a Qwen2-VL by `tiny_models`, as a flat config has it."""
    own = _language(authors.onevision_config(""))
    return {**own, "vocab_size": tiny_models.VOCABULARY, "torch_dtype": "bfloat16"}


def _language(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of the config of a LLaVA is its language model's."""
    left_out = ("architectures", "model_type", "image_", "mm_", "unfreeze", "use_mm", "vision_")
    return {key: value for key, value in config.items() if not key.startswith(left_out)}


def _renamed(shapes: authors.Shapes, names: Mapping[str, str]) -> authors.Shapes:
    """By the first prefix that a name has."""
    found = {}
    for name, shape in shapes.items():
        old = next(prefix for prefix in names if name.startswith(prefix))
        found[names[old] + name.removeprefix(old)] = shape
    return found


MAKERS: Mapping[str, Callable[[Path, int, Path], None]] = {
    "01-ai/Yi-VL-34B": _yi_vl,
    "Lin-Chen/ShareGPT4V-7B": _sharegpt4v,
    "MAGAer13/mplug-owl2-llama2-7b": _mplug_owl2,
    "OpenGVLab/InternVL3-8B": _internvl3,
    "Qwen/Qwen2-VL-7B-Instruct": _qwen2_vl,
    "Qwen/Qwen2.5-Coder-7B-Instruct": _coder,
    "Qwen/Qwen2.5-VL-7B-Instruct": _qwen2_5_vl,
    "THUDM/cogvlm-chat-hf": _cogvlm,
    "liuhaotian/llava-v1.5-7b": _llava,
    "llava-hf/llava-1.5-7b-hf": _llava_hf,
    "lmms-lab/llava-onevision-qwen2-7b-si": _onevision,
    "lmsys/vicuna-7b-v1.5": _vicuna,
    "nyu-visionx/cambrian-34b": _cambrian,
    "openbmb/MiniCPM-V-2_6": _minicpm_v,
}
