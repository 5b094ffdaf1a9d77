"""A LLaVA that grows from a real language model, with a small untrained CLIP tower: four tokens for a picture."""

import torch
import transformers as hf

from pipelines.experiments.tiny.models import Member
from pipelines.experiments.tiny.tokens import BASE_TEMPLATE

FURTHER_ROWS = 64
"""Of the embeddings, for `<image>`; as many as keep their number even."""
_PICTURE, _PATCH = 32, 16
IMAGE = "<image>"
_TEMPLATE = BASE_TEMPLATE.replace("<|vision_start|><|image_pad|><|vision_end|>", IMAGE)


def new_llava(ancestor: Member) -> Member:
    """The ancestor's language model whole, embeddings included; tower and projector are random."""
    tokenizer = type(ancestor.tokenizer).from_pretrained(ancestor.tokenizer.name_or_path)
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE]})
    tokenizer.chat_template = _TEMPLATE
    side = {"height": _PICTURE, "width": _PICTURE}
    processor = hf.LlavaProcessor(
        image_processor=hf.CLIPImageProcessor(size=side, crop_size=side),
        tokenizer=tokenizer,
        patch_size=_PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token=IMAGE,
        chat_template=_TEMPLATE,
    )
    text = ancestor.model.config.to_dict()
    rows = text["vocab_size"]
    config = hf.LlavaConfig(
        text_config={**text, "vocab_size": rows + FURTHER_ROWS},
        vision_config={
            "model_type": "clip_vision_model",
            "image_size": _PICTURE,
            "patch_size": _PATCH,
            "hidden_size": 160,
            "intermediate_size": 320,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "projection_dim": 64,
        },
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        tie_word_embeddings=ancestor.model.config.tie_word_embeddings,
    )
    member = Member(hf.LlavaForConditionalGeneration(config), processor)
    with torch.no_grad():
        for name, weight in member.language_model.state_dict().items():
            own = ancestor.language_model.state_dict()[name]
            weight[: len(own)] = own
        # pictures no louder than words, to begin with
        torch.nn.init.normal_(member.model.model.multi_modal_projector.linear_2.weight, std=0.005)
    end = tokenizer.eos_token_id
    member.model.generation_config = hf.GenerationConfig(do_sample=False, eos_token_id=end, pad_token_id=end)
    return member


def freeze_words(member: Member) -> None:
    """Embeddings and output head, which are one, stay as they are: they are a fifth of the model, and what both parents
    understand by a token stays the same."""
    member.model.get_input_embeddings().weight.requires_grad_(False)
    member.model.lm_head.weight.requires_grad_(False)
