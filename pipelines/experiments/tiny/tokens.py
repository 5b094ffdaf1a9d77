"""The byte-level BPE tokenizer that the three models share, and the special tokens each of them adds to it."""

import json
from collections.abc import Iterable, Sequence

from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers
from transformers import Qwen2Tokenizer

SHARED = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
BASE_ONLY = (
    *("<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>"),
    *("<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"),
)
DONOR_ONLY = ("<image>", "<video>")

ANCESTOR_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
BASE_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# As LLaVA-OneVision writes it: a space after the role, pictures before the text, no line break between turns.
DONOR_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }} "
    "{% if message['content'] is string %}{{ '\n' + message['content'] }}{% else %}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'image') %}<image>{% endfor %}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'video') %}<video>{% endfor %}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}{{ '\n' + part['text'] }}{% endfor %}"
    "{% endif %}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def train_tokenizer(texts: Iterable[str], size: int) -> Qwen2Tokenizer:
    """A tokenizer of `size` entries learned from `texts`; the last of them are `SHARED`."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = Qwen2Tokenizer().backend_tokenizer.pre_tokenizer
    learner.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=size - len(SHARED),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    learnt = json.loads(learner.to_str())["model"]
    return _assemble(learnt["vocab"], learnt["merges"], SHARED, ANCESTOR_TEMPLATE)


def extend_tokenizer(tokenizer: Qwen2Tokenizer, added: Sequence[str], template: str) -> Qwen2Tokenizer:
    """A copy with more special tokens at the end and a chat template of its own; every old token keeps its id."""
    learnt = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    return _assemble(learnt["vocab"], learnt["merges"], (*SHARED, *added), template)


def _assemble(
    vocabulary: dict[str, int], merges: Sequence[Sequence[str]], special: Sequence[str], template: str
) -> Qwen2Tokenizer:
    tokenizer = Qwen2Tokenizer(vocab=vocabulary, merges=[(left, right) for left, right in merges])
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    tokenizer.eos_token = "<|im_end|>"
    tokenizer.chat_template = template
    tokenizer.padding_side = "left"
    return tokenizer
