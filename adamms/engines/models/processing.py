"""Processors of models whose prompts are token ids around an image rather than one text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from transformers import AutoTokenizer, BatchFeature, ProcessorMixin
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

# What stands for an image among token ids: in the vocabulary, since vLLM looks up log-probabilities of prompts, and
# never in a text: no UTF-8 has this byte. LLaMA 3's is the one that CogVLM2's own code takes.
# "ÿ" is how Qwen's kind writes that byte.
UNWRITABLE = ("<|reserved_special_token_0|>", "<0xFF>", "ÿ")


class SplitProcessor(ProcessorMixin):  # type: ignore[misc]
    """Tokenises what stands on each side of an image by itself, after one BOS, as the models' own code does.

    Attributes:
        valid_images: the most that a prompt may have; None: any number.
        first_tokens: what the tokenizer begins a text with: BOS, or nothing.
        image_tokens: how many tokens an image becomes, or its first view.
        image_token, image_token_id: what stands for it in a template's text, and among token ids.
    """

    valid_images: ClassVar[int | None] = None
    image_token: ClassVar[str] = "<|image|>"
    image_processor_class: ClassVar[Any] = CLIPImageProcessorPil

    def __init__(self, image_processor: Any, tokenizer: Any, chat_template: str | None, image_tokens: int) -> None:
        self.image_processor, self.tokenizer, self.chat_template = image_processor, tokenizer, chat_template
        self.image_tokens = image_tokens
        self.first_tokens: list[int] = tokenizer("")["input_ids"]
        vocabulary = tokenizer.get_vocab()
        found = [token for token in UNWRITABLE if token in vocabulary]
        if not found:
            raise ValueError(f"its tokenizer has none of {', '.join(UNWRITABLE)} to stand for an image")
        self.image_token_id = int(vocabulary[found[0]])

    @classmethod
    def from_pretrained(cls, folder: Any, **kwargs: Any) -> Self:
        """From the files that `families` puts into a folder."""
        template = Path(folder, "chat_template.jinja")
        settings = json.loads(Path(folder, "processor_config.json").read_text(encoding="utf-8"))
        return cls(
            cls.image_processor_class.from_pretrained(folder),
            kwargs.get("tokenizer") or AutoTokenizer.from_pretrained(folder, padding_side="left"),
            template.read_text(encoding="utf-8") if template.is_file() else None,
            **{key: value for key, value in settings.items() if key != "processor_class"},
        )

    @property
    def image_side(self) -> int:
        """Width and height of the pixels of an image."""
        size = self.image_processor.size
        return int(size["height"] if "height" in size else size["shortest_edge"])

    def tokens_of(self, width: int, height: int) -> int:
        """How many tokens a picture of this size becomes."""
        return self.image_tokens

    @property
    def largest_image(self) -> tuple[int, int]:
        """Width and height of a picture that becomes as many tokens as any."""
        return self.image_side, self.image_side

    def prompt_tokens(self, text: str) -> list[int]:
        """Token ids of a whole prompt, in which one `image_token_id` stands for each image."""
        ids = list(self.first_tokens)
        for i, part in enumerate(text.split(self.image_token)):
            ids += [self.image_token_id] if i else []
            ids += self.tokenizer.encode(part, add_special_tokens=False) if part else []
        return ids

    def prepare_image(self, image: Any) -> Any:
        """What is done to a picture before it is resized and normalised."""
        return image.convert("RGB")

    def __call__(self, text: Any = None, images: Any = None, **options: Any) -> BatchFeature:
        """Token ids, left-padded to one length, with every image at its full length, and pixels.

        Raises:
            ValueError: more images in a prompt than the model takes.
        """
        data: dict[str, Any] = {}
        pictures = [self.prepare_image(image) for image in _flat(images)] if images is not None else []
        if pictures:
            data |= self.image_processor(pictures, return_tensors="pt")
        if text is not None:
            texts = [text] if isinstance(text, str) else list(text)
            if self.valid_images is not None and any(one.count(self.image_token) > self.valid_images for one in texts):
                raise ValueError(f"the model takes at most {self.valid_images} image")
            lengths = (self.tokens_of(*picture.size) for picture in pictures)
            data |= _padded([self._expanded(self.prompt_tokens(one), lengths) for one in texts])
        return BatchFeature(data, tensor_type=options.get("return_tensors"))

    def _expanded(self, tokens: Sequence[int], lengths: Iterator[int]) -> list[int]:
        image = self.image_token_id
        return [one for token in tokens for one in ([image] * next(lengths) if token == image else [token])]


def _padded(rows: Sequence[Sequence[int]]) -> dict[str, list[list[int]]]:
    width = max(map(len, rows))
    return {
        "input_ids": [[*[0] * (width - len(row)), *row] for row in rows],
        "attention_mask": [[*[0] * (width - len(row)), *[1] * len(row)] for row in rows],
    }


def _flat(images: Any) -> list[Any]:
    if isinstance(images, (list, tuple)):
        return [one for image in images for one in _flat(image)]
    return [images]
