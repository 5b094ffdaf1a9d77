"""Tiny random models of published architectures, grown from one language model, as real checkpoint folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "rope_theta": 1e4,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
}
SHARED_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
BASE_TOKENS = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
DONOR_TOKENS = ["<image>", "<video>"]
TEMPLATE = (
    "{%% for m in messages %%}<|im_start|>{{ m['role'] }}\n{%% for c in m['content'] %%}"
    "{%% if c['type'] == 'image' %%}%s{%% else %%}{{ c['text'] }}{%% endif %%}{%% endfor %%}<|im_end|>\n{%% endfor %%}"
    "{%% if add_generation_prompt %%}<|im_start|>assistant\n{%% endif %%}"
)


@dataclass(frozen=True)
class TinyPair:
    """Folders of a Qwen2-VL base, a LLaVA-OneVision donor, and the Qwen2 that both grew from."""

    base: Path
    donor: Path
    ancestor: Path


def write_tiny_pair(folder: Path, seed: int = 0) -> TinyPair:
    """Both models' language models are the ancestor's plus small noise; towers are random. bfloat16."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(seed)
    pair = TinyPair(folder / "base", folder / "donor", folder / "ancestor")
    tokenizer = _tokenizer([])
    ancestor = Qwen2ForCausalLM(Qwen2Config(**TEXT, vocab_size=len(tokenizer), **_ends(tokenizer)))
    _spread(ancestor)
    _save(ancestor, pair.ancestor)
    tokenizer.save_pretrained(pair.ancestor)
    _write_base(pair.base, ancestor)
    _write_donor(pair.donor, ancestor)
    return pair


def _write_base(folder: Path, ancestor: Any) -> None:
    from transformers import (
        Qwen2VLConfig,
        Qwen2VLForConditionalGeneration,
        Qwen2VLImageProcessor,
        Qwen2VLProcessor,
        Qwen2VLVideoProcessor,
    )

    tokenizer = _tokenizer(BASE_TOKENS)
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in BASE_TOKENS}
    text = {**TEXT, "vocab_size": len(tokenizer), "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]}}
    config = Qwen2VLConfig(
        text_config={**text, **_ends(tokenizer)},
        vision_config={"depth": 1, "embed_dim": 16, "hidden_size": 32, "num_heads": 2, "patch_size": 4},
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=False,
    )
    model = Qwen2VLForConditionalGeneration(config)
    _grow(model, ancestor, 0.02)
    _save(model, folder)
    sizes = {"patch_size": 4, "merge_size": 2, "min_pixels": 64, "max_pixels": 256}
    images, videos = Qwen2VLImageProcessor(**sizes), Qwen2VLVideoProcessor(**sizes)
    shown = "<|vision_start|><|image_pad|><|vision_end|>"
    Qwen2VLProcessor(images, tokenizer, videos, chat_template=TEMPLATE % shown).save_pretrained(folder)


def _write_donor(folder: Path, ancestor: Any) -> None:
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        LlavaOnevisionImageProcessor,
        LlavaOnevisionProcessor,
        LlavaOnevisionVideoProcessor,
        Qwen2Config,
        SiglipVisionConfig,
    )

    tokenizer = _tokenizer(DONOR_TOKENS)
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlavaOnevisionConfig(
        text_config=Qwen2Config(**TEXT, vocab_size=len(tokenizer), **_ends(tokenizer)),
        vision_config=SiglipVisionConfig(**tower, image_size=16, patch_size=8),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=[[16, 16]],
        vision_feature_layer=-1,
        tie_word_embeddings=False,
    )
    model = LlavaOnevisionForConditionalGeneration(config)
    _grow(model, ancestor, 0.2)
    _save(model, folder)
    size = {"height": 16, "width": 16}
    LlavaOnevisionProcessor(
        LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=[[16, 16]]),
        tokenizer,
        LlavaOnevisionVideoProcessor(size=size),
        num_image_tokens=4,
        vision_feature_select_strategy="full",
        chat_template=TEMPLATE % "<image>",
    ).save_pretrained(folder)


def _tokenizer(added: list[str]) -> Any:
    """A byte-level BPE of 256 tokens and the special ones; what a model adds comes last, as in the published pair."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import Qwen2TokenizerFast

    vocabulary = {token: row for row, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([*SHARED_TOKENS, *added])
    return Qwen2TokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")


def _ends(tokenizer: Any) -> dict[str, int]:
    return {
        "bos_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def _grow(model: Any, ancestor: Any, noise: float) -> None:
    """The ancestor's weights plus noise, relative to their size; rows of added tokens are random."""
    import torch

    _spread(model)
    theirs = ancestor.state_dict()
    with torch.no_grad():
        for name, parameter in model.state_dict().items():
            source = theirs.get(name.replace("model.language_model.", "model."))
            if source is not None:
                rows = parameter[: len(source)]
                rows.copy_(source + noise * source.std() * torch.randn_like(source))


def _spread(model: Any) -> None:
    """Weights large enough that answers depend on the prompt and change from one alpha to the next."""
    import torch

    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.25)
            elif parameter.std() == 0:
                parameter.add_(0.05 * torch.randn_like(parameter))


def _save(model: Any, folder: Path) -> None:
    import torch

    model.to(torch.bfloat16).save_pretrained(folder)
