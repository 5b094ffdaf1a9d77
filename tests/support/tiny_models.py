"""Tiny random models of published architectures, as the Hub has them: weights, config, tokenizer, processor."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from adamms.prompts.prompt import Prompt
from tests.support.pictures import picture

SHARED_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
BASE_TOKENS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
DONOR_TOKENS = ("<image>", "<video>")
BASE_IMAGE, DONOR_IMAGE = "<|vision_start|><|image_pad|><|vision_end|>", "<image>"  # an image in the chat template
VOCABULARY = 320  # rows of the embeddings where the tokenizer uses fewer
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TOWER = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}


@dataclass(frozen=True)
class Size:
    """Width and depth of a language model, depth of a Qwen2-VL's vision tower; every second head is a key-value head.

    Attributes:
        head: width of an attention head.
    """

    hidden: int = 64
    layers: int = 2
    intermediate: int = 96
    vision: int = 1
    head: int = 32
    rope_theta: float = 100.0


SMALL, PAIR = Size(), Size(hidden=32, intermediate=48, head=8, rope_theta=1e4)


@dataclass(frozen=True)
class TinyPair:
    """Folders of a Qwen2-VL base, a LLaVA-OneVision donor, and the Qwen2 that both grew from."""

    base: Path
    donor: Path
    ancestor: Path


def write_tiny_pair(folder: Path, seed: int = 0) -> TinyPair:
    """Both models' language models are the ancestor's plus small noise; towers are random. bfloat16.

    What a tokenizer adds to the shared vocabulary comes last, as in the published pair.
    """
    import torch
    from transformers import (
        LlavaOnevisionForConditionalGeneration,
        Qwen2Config,
        Qwen2ForCausalLM,
        Qwen2VLForConditionalGeneration,
    )

    torch.manual_seed(seed)
    pair = TinyPair(folder / "base", folder / "donor", folder / "ancestor")
    tokenizer = make_tokenizer(SHARED_TOKENS)
    ancestor = Qwen2ForCausalLM(Qwen2Config(**language(tokenizer, PAIR, len(tokenizer))))
    _spread(ancestor)
    _save(ancestor, tokenizer, pair.ancestor)

    tokenizer = make_tokenizer((*SHARED_TOKENS, *BASE_TOKENS), BASE_IMAGE)
    vision = {"depth": 1, "embed_dim": 16, "hidden_size": 32, "num_heads": 2, "patch_size": 4}
    config = qwen2_vl_config(tokenizer, language(tokenizer, PAIR, len(tokenizer)), vision)
    base = _grown(Qwen2VLForConditionalGeneration(config), ancestor, 0.02)
    _save(base, qwen2_vl_processor(tokenizer, patch_size=4, pixels=(8**2, 16**2)), pair.base)

    tokenizer = make_tokenizer((*SHARED_TOKENS, *DONOR_TOKENS), DONOR_IMAGE)
    vision = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = llava_onevision_config(
        tokenizer, language(tokenizer, PAIR, len(tokenizer)), {**vision, "image_size": 16, "patch_size": 8}
    )
    donor = _grown(LlavaOnevisionForConditionalGeneration(config), ancestor, 0.2)
    _save(donor, llava_onevision_processor(tokenizer, image_size=16, patch_size=8), pair.donor)
    return pair


def save_qwen2_vl(folder: Path, seed: int = 0, tied: bool = False, size: Size = SMALL) -> Path:
    """A Qwen2-VL."""
    from transformers import Qwen2VLForConditionalGeneration

    tokenizer = _tokenizer(BASE_IMAGE)
    vision = {"depth": size.vision, "embed_dim": 64, "hidden_size": size.hidden, "num_heads": 2, "patch_size": 8}
    config = qwen2_vl_config(tokenizer, _spread_language(tokenizer, size, tied), {**vision, "mlp_ratio": 2})
    processor = qwen2_vl_processor(tokenizer, patch_size=8, pixels=(32**2, 64**2))
    return _save_random(Qwen2VLForConditionalGeneration, config, processor, folder, seed)


def save_qwen2_5_vl(folder: Path, seed: int = 0, size: Size = SMALL) -> Path:
    """A Qwen2.5-VL."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

    tokenizer = _tokenizer(BASE_IMAGE)
    like = qwen2_vl_config(tokenizer, _spread_language(tokenizer, size), {"depth": 1})
    vision = {
        "depth": size.vision, "hidden_size": 64, "intermediate_size": 64, "num_heads": 2, "patch_size": 8,
        "out_hidden_size": size.hidden, "window_size": 32, "fullatt_block_indexes": [0], "temporal_patch_size": 2,
        "spatial_merge_size": 2,
    }  # fmt: skip
    text = {**like.text_config.to_dict(), "model_type": "qwen2_5_vl_text"}
    ids = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    config = Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        tie_word_embeddings=False,
        **{one: getattr(like, one) for one in ids},
    )
    parts = qwen2_vl_processor(tokenizer, patch_size=8, pixels=(32**2, 64**2))
    processor = Qwen2_5_VLProcessor(
        image_processor=parts.image_processor,
        video_processor=parts.video_processor,
        tokenizer=tokenizer,
        chat_template=tokenizer.chat_template,
    )
    return _save_random(Qwen2_5_VLForConditionalGeneration, config, processor, folder, seed)


def save_llava_onevision(folder: Path, seed: int = 1) -> Path:
    """A LLaVA-OneVision on Qwen2 with SigLIP."""
    from transformers import LlavaOnevisionForConditionalGeneration

    tokenizer = _tokenizer(DONOR_IMAGE)
    tower = {**TOWER, "image_size": 32, "patch_size": 16, "vision_use_head": False}
    config = llava_onevision_config(tokenizer, _spread_language(tokenizer), tower)
    processor = llava_onevision_processor(tokenizer, image_size=32, patch_size=16)
    return _save_random(LlavaOnevisionForConditionalGeneration, config, processor, folder, seed)


def save_llava(folder: Path, seed: int = 2) -> Path:
    """A LLaVA-1.5 on LLaMA with CLIP."""
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    tokenizer = _tokenizer(DONOR_IMAGE)
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        tokenizer=tokenizer,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=tokenizer.chat_template,
    )
    config = LlavaConfig(
        text_config=LlamaConfig(**_spread_language(tokenizer)).to_dict(),
        vision_config=CLIPVisionConfig(image_size=32, patch_size=16, projection_dim=64, **TOWER).to_dict(),
        image_token_index=_id(tokenizer, "<image>"),
        tie_word_embeddings=False,
    )
    return _save_random(LlavaForConditionalGeneration, config, processor, folder, seed)


def save_qwen3_vl_moe(folder: Path, seed: int) -> Path:
    """A Qwen3-VL-MoE: every layer's MLP is a mixture of four experts, whose matrices lie transposed as on the Hub."""
    from safetensors.torch import load_file, save_file
    from transformers import Qwen3VLMoeConfig, Qwen3VLMoeForConditionalGeneration

    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 48, "norm_topk_prob": True}
    _save_qwen3(Qwen3VLMoeForConditionalGeneration, Qwen3VLMoeConfig, experts, folder, seed)
    weights = folder / "model.safetensors"
    found = load_file(weights)
    turned = {name: t.transpose(1, 2).contiguous() if ".experts." in name else t for name, t in found.items()}
    save_file(turned, weights, metadata={"format": "pt"})
    return folder


def save_qwen3_5(folder: Path, seed: int) -> Path:
    """A Qwen3.5: linear attention and full attention in turn."""
    from transformers import Qwen3_5Config, Qwen3_5ForConditionalGeneration

    linear = {
        "linear_conv_kernel_dim": 4,
        "linear_key_head_dim": 128,
        "linear_value_head_dim": 128,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 2,
        "layer_types": ["linear_attention", "full_attention"],
    }
    return _save_qwen3(Qwen3_5ForConditionalGeneration, Qwen3_5Config, linear, folder, seed)


def _save_qwen3(kind: Any, config: Any, more: dict[str, Any], folder: Path, seed: int) -> Path:
    """A Qwen3-VL or one of its kin; `more` is what its text configuration has beside the usual."""
    from transformers import Qwen2VLImageProcessor, Qwen3VLProcessor, Qwen3VLVideoProcessor

    tokenizer = _tokenizer(BASE_IMAGE)
    text = _spread_language(tokenizer)
    half = text["head_dim"] // 2
    sections = [half - 2 * (half // 3), half // 3, half // 3]
    rope = {
        **text["rope_parameters"],
        "mrope_section": sections,
        "mrope_interleaved": True,
        "partial_rotary_factor": 1.0,
    }
    patches = {"patch_size": 8, "temporal_patch_size": 2, "merge_size": 2}
    size = {"shortest_edge": 32**2, "longest_edge": 64**2}
    vision = {
        "depth": 1, "hidden_size": 64, "num_heads": 2, "intermediate_size": 64, "out_hidden_size": text["hidden_size"],
        "patch_size": 8, "temporal_patch_size": 2, "spatial_merge_size": 2, "num_position_embeddings": 64,
        "deepstack_visual_indexes": [],
    }  # fmt: skip
    processor = Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=size, **patches),
        video_processor=Qwen3VLVideoProcessor(size=size, **patches),
        tokenizer=tokenizer,
        chat_template=tokenizer.chat_template,
    )
    made = config(
        text_config={**text, "rope_parameters": rope, **more},
        vision_config=vision,
        tie_word_embeddings=False,
        image_token_id=_id(tokenizer, "<|image_pad|>"),
        video_token_id=_id(tokenizer, "<|video_pad|>"),
        vision_start_token_id=_id(tokenizer, "<|vision_start|>"),
        vision_end_token_id=_id(tokenizer, "<|vision_end|>"),
    )
    return _save_random(kind, made, processor, folder, seed)


MAKERS: dict[str, Callable[[Path], Path]] = {
    "qwen2-vl": partial(save_qwen2_vl, seed=0),
    "qwen2-vl-2": partial(save_qwen2_vl, seed=6),
    "qwen2-vl-tied": partial(save_qwen2_vl, seed=4, tied=True),
    "qwen2-vl-tied-2": partial(save_qwen2_vl, seed=5, tied=True),
    "llava-onevision": partial(save_llava_onevision, seed=1),
    "llava": partial(save_llava, seed=2),
    "llava-2": partial(save_llava, seed=3),
    "qwen3-vl-moe": partial(save_qwen3_vl_moe, seed=7),
    "qwen3-vl-moe-2": partial(save_qwen3_vl_moe, seed=8),
    "qwen3.5": partial(save_qwen3_5, seed=9),
    "qwen3.5-2": partial(save_qwen3_5, seed=10),
}


def tiny_prompts(n: int = 6, images: Sequence[int] = (1, 0, 2), text: str = "What is this?") -> list[Prompt]:
    """Prompts with differing pictures and differing numbers of them."""
    return [
        Prompt(str(i), f"{text} {i}", tuple(picture(i, j) for j in range(images[i % len(images)]))) for i in range(n)
    ]


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


# ---- configs and processors, for models of any size


def make_tokenizer(special: Sequence[str], image: str = "", words: int = 0) -> Any:
    """A byte-level BPE of 256 tokens and the special ones.

    Args:
        image: what an image becomes in the chat template.
        words: tokens that text is never cut into, but that a model may answer.
    """
    from tokenizers import AddedToken, pre_tokenizers
    from transformers import Qwen2Tokenizer

    tokens = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *(f"Ġw{i}" for i in range(words))]
    tokenizer = Qwen2Tokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=[])
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    tokenizer.eos_token = "<|im_end|>"
    tokenizer.pad_token = "<|endoftext|>"
    tokenizer.chat_template = TEMPLATE.replace("IMAGE", image)
    return tokenizer


def language(tokenizer: Any, size: Size, vocabulary: int) -> dict[str, Any]:
    """A language model's config; `vocabulary` is the number of rows of its embeddings."""
    return {
        "hidden_size": size.hidden,
        "intermediate_size": size.intermediate,
        "num_hidden_layers": size.layers,
        "vocab_size": vocabulary,
        "num_attention_heads": size.hidden // size.head,
        "num_key_value_heads": size.hidden // size.head // 2,
        "rms_norm_eps": 1e-6,
        "head_dim": size.head,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": False,
        "rope_parameters": {"rope_type": "default", "rope_theta": size.rope_theta},
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def qwen2_vl_config(tokenizer: Any, text: dict[str, Any], vision: dict[str, Any]) -> Any:
    """A Qwen2-VL of this language model and this vision tower."""
    from transformers import Qwen2VLConfig

    half = text["head_dim"] // 2  # what a position's time, row and column share
    side = (half - half // 4) // 2
    rope = {**text["rope_parameters"], "mrope_section": [half // 4, side, half - half // 4 - side]}
    return Qwen2VLConfig(
        text_config={**text, "rope_parameters": rope},
        vision_config={"temporal_patch_size": 2, "spatial_merge_size": 2, **vision},
        tie_word_embeddings=text["tie_word_embeddings"],
        image_token_id=_id(tokenizer, "<|image_pad|>"),
        video_token_id=_id(tokenizer, "<|video_pad|>"),
        vision_start_token_id=_id(tokenizer, "<|vision_start|>"),
        vision_end_token_id=_id(tokenizer, "<|vision_end|>"),
    )


def qwen2_vl_processor(tokenizer: Any, patch_size: int, pixels: tuple[int, int]) -> Any:
    """For images of at least and at most so many pixels."""
    from transformers import Qwen2VLImageProcessor, Qwen2VLProcessor, Qwen2VLVideoProcessor

    patches = {"patch_size": patch_size, "temporal_patch_size": 2, "merge_size": 2}
    size = {"shortest_edge": pixels[0], "longest_edge": pixels[1]}
    return Qwen2VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=size, **patches),
        video_processor=Qwen2VLVideoProcessor(size=size, **patches),
        tokenizer=tokenizer,
        chat_template=tokenizer.chat_template,
    )


def llava_onevision_config(tokenizer: Any, text: dict[str, Any], vision: dict[str, Any]) -> Any:
    """A LLaVA-OneVision of a Qwen2 and a SigLIP tower; images are shown at the tower's own size."""
    from transformers import LlavaOnevisionConfig, SiglipVisionConfig

    side = vision["image_size"]
    return LlavaOnevisionConfig(
        text_config={"model_type": "qwen2", **text},
        vision_config=SiglipVisionConfig(**vision).to_dict(),
        tie_word_embeddings=text["tie_word_embeddings"],
        image_grid_pinpoints=[[side, side]],
        image_token_index=_id(tokenizer, "<image>"),
        video_token_index=_id(tokenizer, "<video>"),
    )


def llava_onevision_processor(tokenizer: Any, image_size: int, patch_size: int) -> Any:
    """For images that are shown at this size."""
    from transformers import LlavaOnevisionImageProcessor, LlavaOnevisionProcessor, LlavaOnevisionVideoProcessor

    size = {"height": image_size, "width": image_size}
    return LlavaOnevisionProcessor(
        image_processor=LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=[[image_size, image_size]]),
        video_processor=LlavaOnevisionVideoProcessor(size=size),
        tokenizer=tokenizer,
        num_image_tokens=(image_size // patch_size) ** 2,
        vision_feature_select_strategy="full",
        chat_template=tokenizer.chat_template,
    )


def _tokenizer(image: str) -> Any:
    return make_tokenizer((*SHARED_TOKENS, *BASE_TOKENS, *DONOR_TOKENS), image)


def _spread_language(tokenizer: Any, size: Size = SMALL, tied: bool = False) -> dict[str, Any]:
    """Weights so large that a tiny model's answers differ."""
    return {
        **language(tokenizer, size, VOCABULARY),
        "tie_word_embeddings": tied,
        "initializer_range": 1.2 / size.hidden**0.5,
    }


def _id(tokenizer: Any, token: str) -> int:
    return int(tokenizer.convert_tokens_to_ids(token))


# ---- weights


def _grown(model: Any, ancestor: Any, noise: float) -> Any:
    """The model with the ancestor's weights plus noise, relative to their size; rows of added tokens are random."""
    import torch

    _spread(model)
    theirs = ancestor.state_dict()
    with torch.no_grad():
        for name, parameter in model.state_dict().items():
            source = theirs.get(name.replace("model.language_model.", "model."))
            if source is not None:
                rows = parameter[: len(source)]
                rows.copy_(source + noise * source.std() * torch.randn_like(source))
    return model


def _spread(model: Any) -> None:
    """Weights large enough that answers depend on the prompt and change from one alpha to the next."""
    import torch

    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.25)
            elif parameter.std() == 0:
                parameter.add_(0.05 * torch.randn_like(parameter))


def _save_random(kind: type[Any], config: Any, processor: Any, folder: Path, seed: int) -> Path:
    """Every weight random, biases and norms too, so that nothing merges unnoticed."""
    import torch

    torch.manual_seed(seed)
    model = kind(config).to(torch.bfloat16)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.add_(torch.randn_like(parameter) * (0.3 if "bias" in name or "norm" in name else 0.02))
    return _save(model, processor, folder)


def _save(model: Any, processor: Any, folder: Path) -> Path:
    """The model in bfloat16 with its processor (or tokenizer)."""
    import torch
    from transformers import GenerationConfig

    tokenizer = getattr(processor, "tokenizer", processor)
    model.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=[tokenizer.eos_token_id], pad_token_id=tokenizer.pad_token_id
    )
    model.to(torch.bfloat16).save_pretrained(folder)
    processor.save_pretrained(folder)
    _use_hub_names(folder / "model.safetensors")
    return folder


def hub_name(name: str) -> str:
    """transformers 5 shortens the names of the towers; vLLM reads only the longer ones, transformers both."""
    short, long = "vision_tower.", "vision_tower.vision_model."
    return name.replace(short, long, 1) if short in name and long not in name else name


def _use_hub_names(weights: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = {hub_name(name): tensor for name, tensor in load_file(weights).items()}
    save_file(tensors, weights, metadata={"format": "pt"})
