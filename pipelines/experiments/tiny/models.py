"""The three models of the tiny pair, with random weights: an ancestor language model, a base and a donor grown from it.

Real `transformers` classes and processors, scaled down. As with the real pair, the language models have the same
shape, the vision parts do not, and the embeddings have different numbers of rows."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from safetensors.torch import load_file, save_file

from pipelines.experiments.tiny.tokens import BASE_ONLY, BASE_TEMPLATE, DONOR_ONLY, DONOR_TEMPLATE, extend_tokenizer

VOCABULARY = 512
"""Entries of the ancestor's tokenizer."""
ANCESTOR_ROWS = BASE_ROWS = 544
DONOR_ROWS = 528
"""Rows of the embeddings: padded, as with the real pair (152064, 152064, 152000)."""

_VISION_WIDTH = 64
_PICTURE = 32
"""Both processors scale a picture to this side, which makes four cells of 16 pixels, one for each place."""


@dataclass(frozen=True)
class Size:
    """Of the language model; the vision towers have one size."""

    width: int = 128
    layers: int = 4


@dataclass(frozen=True)
class Member:
    """A model and what turns messages into its inputs: a processor, or for a pure language model a tokenizer."""

    model: hf.PreTrainedModel
    processor: hf.ProcessorMixin | hf.Qwen2Tokenizer

    @property
    def tokenizer(self) -> hf.Qwen2Tokenizer:
        return getattr(self.processor, "tokenizer", self.processor)

    @property
    def language_model(self) -> torch.nn.Module:
        """The transformer layers with embeddings and final norm; the head apart."""
        inner = self.model.model
        layers: torch.nn.Module = getattr(inner, "language_model", inner)
        return layers

    def parameters(self) -> tuple[list[torch.nn.Parameter], list[torch.nn.Parameter]]:
        """Those of the language model and its head, and those of the vision tower and the projector."""
        language = {id(one): one for one in (*self.language_model.parameters(), *self.model.lm_head.parameters())}
        return list(language.values()), [one for one in self.model.parameters() if id(one) not in language]

    def save(self, folder: Path) -> None:
        """A folder as on the Hub, in bfloat16: weights, configs, tokenizer, processor, chat template."""
        self.model.to(torch.bfloat16).save_pretrained(folder)
        self.processor.save_pretrained(folder)
        # transformers 5 shortens SigLIP's names; vLLM reads only the longer ones of the Hub, transformers both
        weights, short = folder / "model.safetensors", re.compile(r"^vision_tower\.(?!vision_model\.)")
        renamed = {short.sub("vision_tower.vision_model.", name): tensor for name, tensor in load_file(weights).items()}
        save_file(renamed, weights, metadata={"format": "pt"})


def new_ancestor(tokenizer: hf.Qwen2Tokenizer, size: Size) -> Member:
    config = hf.Qwen2Config(vocab_size=ANCESTOR_ROWS, **_language_settings(tokenizer, size))
    return _member(hf.Qwen2ForCausalLM(config), tokenizer)


def saved_language_model(folder: Path) -> Member:
    """A language model as `Member.save` left it, in float32, to go on from."""
    model = hf.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return _member(model, hf.AutoTokenizer.from_pretrained(folder))


def new_base(ancestor: Member) -> Member:
    """A Qwen2-VL with the ancestor's language model and an untrained vision tower: four tokens for a picture."""
    tokenizer = extend_tokenizer(ancestor.tokenizer, BASE_ONLY, BASE_TEMPLATE)
    patches = {"patch_size": 8, "temporal_patch_size": 2, "merge_size": 2}
    size = {"shortest_edge": _PICTURE**2, "longest_edge": _PICTURE**2}
    processor = hf.Qwen2VLProcessor(
        image_processor=hf.Qwen2VLImageProcessor(size=size, **patches),
        video_processor=hf.Qwen2VLVideoProcessor(size=size, **patches),
        tokenizer=tokenizer,
        chat_template=tokenizer.chat_template,
    )
    width = _size_of(ancestor).width
    language = _language_settings(tokenizer, _size_of(ancestor))
    language["rope_parameters"] = {**language["rope_parameters"], "mrope_section": [2, 7, 7]}
    config = hf.Qwen2VLConfig(
        text_config={"vocab_size": BASE_ROWS, **language},
        vision_config={
            "depth": 2,
            "embed_dim": _VISION_WIDTH,
            "num_heads": 2,
            "mlp_ratio": 2,
            "hidden_size": width,
            "patch_size": 8,
            "temporal_patch_size": 2,
            "spatial_merge_size": 2,
        },
        tie_word_embeddings=False,
        image_token_id=tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<|video_pad|>"),
        vision_start_token_id=tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=tokenizer.convert_tokens_to_ids("<|vision_end|>"),
    )
    return _graft(ancestor, _member(hf.Qwen2VLForConditionalGeneration(config), processor))


def new_donor(ancestor: Member) -> Member:
    """A LLaVA-OneVision with the ancestor's language model and an untrained SigLIP: ten tokens for a picture."""
    tokenizer = extend_tokenizer(ancestor.tokenizer, DONOR_ONLY, DONOR_TEMPLATE)
    size = {"height": _PICTURE, "width": _PICTURE}
    processor = hf.LlavaOnevisionProcessor(
        image_processor=hf.LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=[[_PICTURE, _PICTURE]]),
        video_processor=hf.LlavaOnevisionVideoProcessor(size=size),
        tokenizer=tokenizer,
        num_image_tokens=4,
        vision_feature_select_strategy="full",
        chat_template=tokenizer.chat_template,
    )
    config = hf.LlavaOnevisionConfig(
        text_config={
            "model_type": "qwen2",
            "vocab_size": DONOR_ROWS,
            **_language_settings(tokenizer, _size_of(ancestor)),
        },
        vision_config={
            "model_type": "siglip_vision_model",
            "image_size": _PICTURE,
            "patch_size": 16,
            "vision_use_head": False,
            "hidden_size": _VISION_WIDTH,
            "intermediate_size": 2 * _VISION_WIDTH,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
        },
        tie_word_embeddings=False,
        image_grid_pinpoints=[[_PICTURE, _PICTURE]],
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
    )
    model = hf.LlavaOnevisionForConditionalGeneration(config)
    # SigLIP's raw features are long: start with pictures no louder than words, or the tower does not learn shapes.
    torch.nn.init.normal_(model.model.multi_modal_projector.linear_2.weight, std=0.015)
    return _graft(ancestor, _member(model, processor))


def _size_of(member: Member) -> Size:
    return Size(member.model.config.hidden_size, member.model.config.num_hidden_layers)


def _language_settings(tokenizer: hf.Qwen2Tokenizer, size: Size) -> dict[str, Any]:
    return {
        "hidden_size": size.width,
        "intermediate_size": 2 * size.width,
        "num_hidden_layers": size.layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-6,
        "initializer_range": 0.06,
        "max_position_embeddings": 512,
        "tie_word_embeddings": False,
        # With the usual theta of a million, positions are not learned at this size.
        "rope_parameters": {"rope_type": "default", "rope_theta": 20.0},
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def _member(model: hf.PreTrainedModel, processor: hf.ProcessorMixin | hf.Qwen2Tokenizer) -> Member:
    member = Member(model, processor)
    stop = member.tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    model.generation_config = hf.GenerationConfig(
        do_sample=False, max_new_tokens=16, eos_token_id=stop, pad_token_id=member.tokenizer.pad_token_id
    )
    return member


@torch.no_grad()
def _graft(ancestor: Member, member: Member) -> Member:
    """Give `member` the ancestor's language model; rows of tokens that the ancestor lacks stay random."""
    old = {**ancestor.language_model.state_dict(), "head": ancestor.model.lm_head.weight}
    new = {**member.language_model.state_dict(), "head": member.model.lm_head.weight}
    for name, weight in new.items():
        rows = VOCABULARY if name in ("embed_tokens.weight", "head") else len(weight)
        weight[:rows] = old[name][:rows]
    return member
