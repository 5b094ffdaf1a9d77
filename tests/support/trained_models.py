"""Tiny random models as the Hub has them: weights, config, tokenizer, processor, chat template."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, pre_tokenizers
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    GenerationConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionImageProcessor,
    LlavaOnevisionProcessor,
    LlavaOnevisionVideoProcessor,
    LlavaProcessor,
    PreTrainedModel,
    Qwen2Config,
    Qwen2Tokenizer,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
    SiglipVisionConfig,
)

from adamms.prompts.prompt import Prompt

VOCABULARY = 320  # rows of the embeddings; the tokenizer uses fewer
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
           "<|video_pad|>", "<image>", "<video>")  # fmt: skip
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class Size:
    """Width and depth of a language model (heads of 32) and depth of a vision tower."""

    hidden: int = 64
    layers: int = 2
    intermediate: int = 96
    vision: int = 1


def save_qwen2_vl(folder: Path, seed: int = 0, tied: bool = False, size: Size | None = None) -> Path:
    """A Qwen2-VL."""
    scale = size or Size()
    tokenizer = _tokenizer("<|vision_start|><|image_pad|><|vision_end|>")
    patches = {"patch_size": 8, "temporal_patch_size": 2, "merge_size": 2}
    pixels = {"shortest_edge": 32**2, "longest_edge": 64**2}
    processor = Qwen2VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=pixels, **patches),
        video_processor=Qwen2VLVideoProcessor(size=pixels, **patches),
        tokenizer=tokenizer,
        chat_template=tokenizer.chat_template,
    )
    rope = {"rope_type": "default", "rope_theta": 100.0, "mrope_section": [4, 6, 6]}
    config = Qwen2VLConfig(
        text_config={**_language(tokenizer, scale), "rope_parameters": rope, "tie_word_embeddings": tied},
        vision_config={
            "depth": scale.vision,
            "embed_dim": 64,
            "num_heads": 2,
            "mlp_ratio": 2,
            "hidden_size": scale.hidden,
            "patch_size": 8,
            "temporal_patch_size": 2,
            "spatial_merge_size": 2,
        },
        tie_word_embeddings=tied,
        image_token_id=_id(tokenizer, "<|image_pad|>"),
        video_token_id=_id(tokenizer, "<|video_pad|>"),
        vision_start_token_id=_id(tokenizer, "<|vision_start|>"),
        vision_end_token_id=_id(tokenizer, "<|vision_end|>"),
    )
    return _save(Qwen2VLForConditionalGeneration, config, processor, folder, seed)


def save_llava_onevision(folder: Path, seed: int = 1) -> Path:
    """A LLaVA-OneVision on Qwen2 with SigLIP."""
    tokenizer = _tokenizer("<image>")
    size = {"height": 32, "width": 32}
    processor = LlavaOnevisionProcessor(
        image_processor=LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=[[32, 32]]),
        video_processor=LlavaOnevisionVideoProcessor(size=size),
        tokenizer=tokenizer,
        num_image_tokens=4,
        vision_feature_select_strategy="full",
        chat_template=tokenizer.chat_template,
    )
    config = LlavaOnevisionConfig(
        text_config={"model_type": "qwen2", **_language(tokenizer)},
        vision_config=SiglipVisionConfig(image_size=32, patch_size=16, vision_use_head=False, **_tower()).to_dict(),
        tie_word_embeddings=False,
        image_grid_pinpoints=[[32, 32]],
        image_token_index=_id(tokenizer, "<image>"),
        video_token_index=_id(tokenizer, "<video>"),
    )
    return _save(LlavaOnevisionForConditionalGeneration, config, processor, folder, seed)


def save_llava(folder: Path, seed: int = 2) -> Path:
    """A LLaVA-1.5 on LLaMA with CLIP."""
    tokenizer = _tokenizer("<image>")
    size = {"image_processor": CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})}
    processor = LlavaProcessor(
        **size,
        tokenizer=tokenizer,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=tokenizer.chat_template,
    )
    config = LlavaConfig(
        text_config=LlamaConfig(**_language(tokenizer)).to_dict(),
        vision_config=CLIPVisionConfig(image_size=32, patch_size=16, projection_dim=64, **_tower()).to_dict(),
        image_token_index=_id(tokenizer, "<image>"),
        tie_word_embeddings=False,
    )
    return _save(LlavaForConditionalGeneration, config, processor, folder, seed)


def save_qwen2(folder: Path, seed: int = 3, tied: bool = False) -> Path:
    """A text model, as a donor."""
    tokenizer = _tokenizer("")
    config = Qwen2Config(**{**_language(tokenizer), "tie_word_embeddings": tied})
    from transformers import Qwen2ForCausalLM

    return _save(Qwen2ForCausalLM, config, tokenizer, folder, seed)


def tiny_prompts(n: int = 6, images: Sequence[int] = (1, 0, 2), text: str = "What is this?") -> list[Prompt]:
    """Prompts with differing pictures and differing numbers of them."""
    return [
        Prompt(str(i), f"{text} {i}", tuple(picture(i, j) for j in range(images[i % len(images)]))) for i in range(n)
    ]


def picture(i: int, j: int = 0, side: int = 40) -> bytes:
    """An encoded picture that no other (i, j) has."""
    colours = torch.Generator().manual_seed(1000 * i + j)
    pixels = torch.randint(0, 256, (4, 4, 3), generator=colours, dtype=torch.uint8).numpy()
    out = io.BytesIO()
    Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST).save(out, "PNG")
    return out.getvalue()


def _tokenizer(image: str) -> Qwen2Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Qwen2Tokenizer(vocab={character: i for i, character in enumerate(alphabet)}, merges=[])
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    tokenizer.eos_token = "<|im_end|>"
    tokenizer.pad_token = "<|endoftext|>"
    tokenizer.chat_template = TEMPLATE.replace("IMAGE", image)
    return tokenizer


def _language(tokenizer: Qwen2Tokenizer, size: Size | None = None) -> dict[str, Any]:
    size = size or Size()
    return {
        "hidden_size": size.hidden,
        "intermediate_size": size.intermediate,
        "num_hidden_layers": size.layers,
        "vocab_size": VOCABULARY,
        "num_attention_heads": size.hidden // 32,
        "num_key_value_heads": size.hidden // 64,
        "rms_norm_eps": 1e-6,
        "head_dim": 32,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": False,
        "initializer_range": 1.2 / size.hidden**0.5,
        "rope_parameters": {"rope_type": "default", "rope_theta": 100.0},
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def _tower() -> dict[str, Any]:
    return {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


def _id(tokenizer: Qwen2Tokenizer, token: str) -> int:
    return int(tokenizer.convert_tokens_to_ids(token))


def _save(kind: type[PreTrainedModel], config: Any, processor: Any, folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    model = kind(config).to(torch.bfloat16)
    # Every weight random, biases and norms too, so that nothing merges unnoticed.
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.add_(torch.randn_like(parameter) * (0.3 if "bias" in name or "norm" in name else 0.02))
    tokenizer = getattr(processor, "tokenizer", processor)
    model.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=[tokenizer.eos_token_id], pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    _use_hub_names(folder / "model.safetensors")
    return folder


def _use_hub_names(weights: Path) -> None:
    """transformers 5 shortens the towers' names; vLLM reads only the longer ones, transformers both."""
    short, long = "vision_tower.", "vision_tower.vision_model."
    tensors = load_file(weights)
    renamed = {
        name.replace(short, long, 1) if short in name and long not in name else name: tensor
        for name, tensor in tensors.items()
    }
    save_file(renamed, weights, metadata={"format": "pt"})


def write_prompts(path: Path, prompts: Sequence[Prompt]) -> Path:
    """The prompts as a JSONL file with pictures beside it."""
    lines = []
    for prompt in prompts:
        names = [f"{prompt.id}-{j}.png" for j in range(len(prompt.images))]
        for name, image in zip(names, prompt.images, strict=True):
            (path.parent / name).write_bytes(image)
        lines.append(json.dumps({"id": prompt.id, "prompt": prompt.text, "images": names}))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
