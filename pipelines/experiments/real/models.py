"""Multimodal models that grow from a real language model, with small untrained vision towers."""

from typing import Any

import torch
import transformers as hf

from pipelines.experiments.tiny.models import Member
from pipelines.experiments.tiny.tokens import BASE_TEMPLATE, DONOR_ONLY, DONOR_TEMPLATE

FURTHER_ROWS = 64
"""Of the embeddings, for `<image>` and `<video>`; as many as keep their number even."""
_PICTURE, _PATCH = 32, 16
_IMAGE, _VIDEO = DONOR_ONLY
_LLAVA_TEMPLATE = BASE_TEMPLATE.replace("<|vision_start|><|image_pad|><|vision_end|>", _IMAGE)
_TOWER = {
    "image_size": _PICTURE,
    "patch_size": _PATCH,
    "hidden_size": 160,
    "intermediate_size": 320,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
}


def new_llava(ancestor: Member) -> Member:
    """The ancestor's language model whole, embeddings included; the CLIP tower and the projector are random. Four
    tokens for a picture."""
    tokenizer = _tokenizer(ancestor, (_IMAGE,), _LLAVA_TEMPLATE)
    side = {"height": _PICTURE, "width": _PICTURE}
    processor = hf.LlavaProcessor(
        image_processor=hf.CLIPImageProcessor(size=side, crop_size=side),
        tokenizer=tokenizer,
        patch_size=_PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token=_IMAGE,
        chat_template=_LLAVA_TEMPLATE,
    )
    config = hf.LlavaConfig(
        text_config=_text_config(ancestor),
        vision_config={"model_type": "clip_vision_model", "projection_dim": 64, **_TOWER},
        image_token_index=tokenizer.convert_tokens_to_ids(_IMAGE),
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        tie_word_embeddings=ancestor.model.config.tie_word_embeddings,
    )
    return _graft(ancestor, Member(hf.LlavaForConditionalGeneration(config), processor))


def new_onevision(ancestor: Member) -> Member:
    """The same with a SigLIP tower, in the architecture of LLaVA-OneVision. Ten tokens for a picture."""
    tokenizer = _tokenizer(ancestor, DONOR_ONLY, DONOR_TEMPLATE)
    side = {"height": _PICTURE, "width": _PICTURE}
    processor = hf.LlavaOnevisionProcessor(
        image_processor=hf.LlavaOnevisionImageProcessor(size=side, image_grid_pinpoints=[[_PICTURE, _PICTURE]]),
        video_processor=hf.LlavaOnevisionVideoProcessor(size=side),
        tokenizer=tokenizer,
        num_image_tokens=(_PICTURE // _PATCH) ** 2,
        vision_feature_select_strategy="full",
        chat_template=DONOR_TEMPLATE,
    )
    config = hf.LlavaOnevisionConfig(
        text_config=_text_config(ancestor),
        vision_config={"model_type": "siglip_vision_model", "vision_use_head": False, **_TOWER},
        image_grid_pinpoints=[[_PICTURE, _PICTURE]],
        image_token_index=tokenizer.convert_tokens_to_ids(_IMAGE),
        video_token_index=tokenizer.convert_tokens_to_ids(_VIDEO),
        tie_word_embeddings=ancestor.model.config.tie_word_embeddings,
    )
    return _graft(ancestor, Member(hf.LlavaOnevisionForConditionalGeneration(config), processor))


def freeze_words(member: Member) -> None:
    """Embeddings and output head, which are one, stay as they are: they are a fifth of the model, and what both parents
    understand by a token stays the same."""
    member.model.get_input_embeddings().weight.requires_grad_(False)
    member.model.lm_head.weight.requires_grad_(False)


def _tokenizer(ancestor: Member, added: tuple[str, ...], template: str) -> Any:
    tokenizer = type(ancestor.tokenizer).from_pretrained(ancestor.tokenizer.name_or_path)
    tokenizer.add_special_tokens({"additional_special_tokens": list(added)})
    tokenizer.chat_template = template
    return tokenizer


def _text_config(ancestor: Member) -> dict[str, Any]:
    text: dict[str, Any] = ancestor.model.config.to_dict()
    return {**text, "vocab_size": text["vocab_size"] + FURTHER_ROWS}


@torch.no_grad()
def _graft(ancestor: Member, member: Member) -> Member:
    """Give `member` the ancestor's language model; rows of tokens that the ancestor lacks stay random."""
    for name, weight in member.language_model.state_dict().items():
        own = ancestor.language_model.state_dict()[name]
        weight[: len(own)] = own
    # pictures no louder than words, to begin with
    torch.nn.init.normal_(member.model.model.multi_modal_projector.linear_2.weight, std=0.005)
    end = member.tokenizer.eos_token_id
    member.model.generation_config = hf.GenerationConfig(do_sample=False, eos_token_id=end, pad_token_id=end)
    return member
