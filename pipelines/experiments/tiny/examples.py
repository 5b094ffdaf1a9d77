"""Training examples: drawn by a diet, turned into tensors by a member's own processor."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from pipelines.experiments.tiny.drawing import as_data_uri, draw_picture, from_data_uri
from pipelines.experiments.tiny.models import Member
from pipelines.experiments.tiny.questions import Question, describe, draw_question
from pipelines.experiments.tiny.world import Scene

Tensors = dict[str, torch.Tensor]
IGNORED = -100
"""The label of a position that the loss passes over."""


@dataclass(frozen=True)
class Diet:
    """What a model is asked while it learns, as relative weights."""

    kinds: Mapping[str, float]
    styles: Mapping[str, float]

    def draw(self, rng: random.Random, scene: Scene) -> Question:
        kind = rng.choices(list(self.kinds), list(self.kinds.values()))[0]
        style = rng.choices(list(self.styles), list(self.styles.values()))[0]
        return draw_question(rng, scene, kind, style)


class Gallery:
    """Pictures of scenes, gone once through a member's image processor."""

    def __init__(self, member: Member, scenes: Sequence[Scene]) -> None:
        self.scenes = scenes
        self.pictures = [from_data_uri(as_data_uri(draw_picture(scene))) for scene in scenes]
        processed = member.processor.image_processor(self.pictures, return_tensors="pt")
        # a new first dimension for the picture: some processors put the patches of all pictures in one row
        tensors = {name: torch.as_tensor(value) for name, value in processed.items()}
        self._inputs = {name: value.reshape(len(scenes), -1, *value.shape[1:]) for name, value in tensors.items()}

    def inputs(self, indices: Sequence[int]) -> Tensors:
        """What the image processor gives for these pictures."""
        return {name: value[list(indices)].flatten(0, 1) for name, value in self._inputs.items()}


class Reader:
    """Makes a member's training batches from questions about scenes, with a picture or with the scene in words."""

    def __init__(self, member: Member, gallery: Gallery | None = None, tell: Callable[[Scene], str] = describe) -> None:
        self._member = member
        self._gallery = gallery
        self._tell = tell
        self._prompts: dict[str, Tensors] = {}

    def pictured(self, questions: Sequence[Question], indices: Sequence[int]) -> Tensors:
        """A batch of questions about the gallery's pictures at `indices`."""
        assert self._gallery is not None
        scenes = [self._gallery.scenes[index] for index in indices]
        prompts = [self._pictured_prompt(question.text()) for question in questions]
        answers = [question.answer(scene) for question, scene in zip(questions, scenes, strict=True)]
        return {**self._collate(prompts, answers), **self._gallery.inputs(indices)}

    def written(self, questions: Sequence[Question], scenes: Sequence[Scene]) -> Tensors:
        """A batch of questions about scenes that the prompt describes in words."""
        pairs = list(zip(questions, scenes, strict=True))
        texts = [{"type": "text", "text": f"{self._tell(scene)} {question.text()}"} for question, scene in pairs]
        prompts = [self._encode({"role": "user", "content": [text]}) for text in texts]
        return self._collate(prompts, [question.answer(scene) for question, scene in pairs])

    def _pictured_prompt(self, text: str) -> Tensors:
        """All pictures have one size, so a prompt's tokens do not depend on which picture it shows."""
        assert self._gallery is not None
        if text not in self._prompts:
            self._prompts[text] = self._encode(pictured_message(text, self._gallery.pictures[0]))
        return self._prompts[text]

    def _encode(self, message: dict[str, Any]) -> Tensors:
        if self._member.processor is self._member.tokenizer:
            message = {"role": "user", "content": "".join(part["text"] for part in message["content"])}
        encoded = self._member.processor.apply_chat_template(
            [message], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
        return {name: encoded[name][0] for name in ("input_ids", "mm_token_type_ids") if name in encoded}

    def _collate(self, prompts: Sequence[Tensors], answers: Sequence[str]) -> Tensors:
        tokenizer = self._member.tokenizer
        targets = [torch.tensor([*tokenizer(answer).input_ids, tokenizer.eos_token_id]) for answer in answers]
        rows = [(prompt["input_ids"], target) for prompt, target in zip(prompts, targets, strict=True)]
        whole = [torch.cat(row) for row in rows]
        batch = {
            "input_ids": _padded(whole, tokenizer.pad_token_id),
            "attention_mask": _padded([torch.ones_like(tokens) for tokens in whole], 0),
            "labels": _padded([torch.cat([torch.full_like(ids, IGNORED), target]) for ids, target in rows], IGNORED),
        }
        if "mm_token_type_ids" in prompts[0]:
            kinds = [prompt["mm_token_type_ids"] for prompt in prompts]
            pairs = zip(kinds, targets, strict=True)
            batch["mm_token_type_ids"] = _padded([torch.cat([kind, torch.zeros_like(t)]) for kind, t in pairs], 0)
        return batch


def _padded(rows: Sequence[torch.Tensor], filler: int) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=filler)


def pictured_message(text: str, picture: Any) -> dict[str, Any]:
    """A user's chat message with one picture before the text."""
    return {"role": "user", "content": [{"type": "image", "image": picture}, {"type": "text", "text": text}]}
