"""Fixtures that several packages' tests share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class TinyPair:
    """Real checkpoints of random weights, as transformers saves them, that grew from one language model."""

    base: Path
    donor: Path
    ancestor: Path


@pytest.fixture(scope="session")
def tiny_pair(tmp_path_factory: pytest.TempPathFactory) -> TinyPair:
    """Qwen2-VL (base, with tokenizer and processor) and LLaVA-OneVision (donor), each the Qwen2 ancestor plus noise."""
    import torch
    import transformers as tf

    folder = tmp_path_factory.mktemp("tiny_pair")
    tokenizer = _tokenizer(tf)
    ids = {name: tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in SPECIAL}
    text = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 48,
        "vocab_size": len(tokenizer),
        "tie_word_embeddings": False,
        "rope_theta": 1e4,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-6,
        "bos_token_id": ids["im_start"],
        "eos_token_id": ids["im_end"],
        "pad_token_id": ids["im_end"],
    }
    torch.manual_seed(0)
    ancestor = tf.Qwen2ForCausalLM(tf.Qwen2Config(**text)).to(torch.bfloat16)
    base = tf.Qwen2VLForConditionalGeneration(
        tf.Qwen2VLConfig(
            text_config={**text, "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]}},
            vision_config={"depth": 1, "embed_dim": 16, "hidden_size": 32, "num_heads": 2, "patch_size": 14},
            image_token_id=ids["image_pad"],
            video_token_id=ids["video_pad"],
            vision_start_token_id=ids["vision_start"],
            vision_end_token_id=ids["vision_end"],
            tie_word_embeddings=False,
        )
    ).to(torch.bfloat16)
    donor = tf.LlavaOnevisionForConditionalGeneration(
        tf.LlavaOnevisionConfig(
            text_config=tf.Qwen2Config(**text),
            vision_config=tf.SiglipVisionConfig(
                hidden_size=16,
                intermediate_size=32,
                num_hidden_layers=1,
                num_attention_heads=2,
                image_size=16,
                patch_size=8,
            ),
            image_token_id=ids["image_pad"],
            video_token_id=ids["video_pad"],
            tie_word_embeddings=False,
        )
    ).to(torch.bfloat16)
    _grow(base, ancestor, seed=1)
    _grow(donor, ancestor, seed=2)
    for name, model in (("ancestor", ancestor), ("base", base), ("donor", donor)):
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    image_processor = tf.Qwen2VLImageProcessor(min_pixels=56 * 56, max_pixels=56 * 56)
    tf.Qwen2VLProcessor(
        image_processor, tokenizer, tf.Qwen2VLVideoProcessor(), chat_template=CHAT_TEMPLATE
    ).save_pretrained(folder / "base")
    return TinyPair(folder / "base", folder / "donor", folder / "ancestor")


SPECIAL = ("im_start", "im_end", "vision_start", "vision_end", "image_pad", "video_pad")
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for c in m['content'] %}{% if c['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def _tokenizer(tf):  # type: ignore[no-untyped-def]
    """Bytes as tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    special = [f"<|{name}|>" for name in SPECIAL]
    inner.add_special_tokens(special)
    return tf.PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<|im_end|>", pad_token="<|im_end|>", additional_special_tokens=special
    )


def _grow(model, ancestor, seed: int) -> None:  # type: ignore[no-untyped-def]
    """The ancestor's weights plus a little noise, as fine-tuning would leave them."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    language_model = model.model.language_model
    theirs = dict(ancestor.model.named_parameters())
    with torch.no_grad():
        for name, parameter in [*language_model.named_parameters(), ("lm_head.weight", model.lm_head.weight)]:
            origin = ancestor.lm_head.weight if name.startswith("lm_head") else theirs[name]
            noise = torch.randn(origin.shape, generator=generator) * 0.02
            parameter.copy_((origin.float() + noise).to(parameter.dtype))
