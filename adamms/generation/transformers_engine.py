"""An engine on plain `transformers`: the default where there is no GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from adamms.checkpoint import Checkpoint
from adamms.generation.digest import WeightsDigest
from adamms.generation.engine import Answer, EngineSpec
from adamms.generation.prompts import Prompt
from adamms.mapping.live_names import live_names
from adamms.mapping.plan import ModelIdentity
from adamms.merging import Originals, measure, merged_tensor
from adamms.merging.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor


class TransformersEngine:
    """Holds the base model; `move` merges the donor into its live parameters.

    Weights are rounded to the checkpoint's dtype before they become the live dtype, so that the live model is
    the one that the exported checkpoint would load as.
    """

    def __init__(self, spec: EngineSpec) -> None:
        from transformers import AutoModelForImageTextToText, AutoProcessor, GenerationConfig

        self._plan, self._batch_size = spec.plan, spec.config.batch_size
        base = Checkpoint.open(spec.plan.base.location)
        self._originals = Originals(base, Checkpoint.open(spec.plan.donor.location), _opened(spec.plan.ancestor))
        device = _device(spec.config.device)
        options: dict[str, Any] = {"trust_remote_code": spec.config.trust_remote_code}
        self._processor = AutoProcessor.from_pretrained(base.folder, padding_side="left", **options)
        model = AutoModelForImageTextToText.from_pretrained(
            base.folder, dtype=_dtype(spec.config.dtype, device), **options
        )
        self._model = model.to(device).eval()
        # Greedy whatever the checkpoint's generation_config says of sampling, temperature, or penalties.
        own = self._model.generation_config
        self._generation = GenerationConfig(
            do_sample=False,
            max_new_tokens=spec.config.max_tokens,
            eos_token_id=own.eos_token_id,
            bos_token_id=own.bos_token_id,
            pad_token_id=own.pad_token_id if own.pad_token_id is not None else self._processor.tokenizer.pad_token_id,
        )
        self._model.generation_config = self._generation
        parameters = self._model.state_dict()
        names = live_names(
            base,
            spec.base_architecture,
            {name: tuple(parameter.shape) for name, parameter in parameters.items()},
            [tensor.name for tensor in self._plan.merged],
        )
        self._parameters: dict[str, Tensor] = {name: parameters[live] for name, live in names.items()}

    def move(self, recipe: Recipe) -> str:
        """See `Engine.move`. Every weight is computed from the originals, so nothing accumulates."""
        digest = WeightsDigest()
        statistics = measure(self._plan, self._originals, recipe)
        with torch.no_grad():
            for tensor in self._plan.merged:
                parameter = self._parameters[tensor.name]
                parameter.copy_(merged_tensor(tensor, self._originals, recipe, statistics))
                digest.add(tensor.name, parameter)
        return digest.hex()

    def generate(self, prompts: Sequence[Prompt], drafts: Mapping[str, Sequence[int]] | None = None) -> list[Answer]:
        """See `Engine.generate`; drafts are not used."""
        # Prompts of similar length share a batch, so that little is spent on padding.
        order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i].images), len(prompts[i].text)))
        answers: dict[int, Answer] = {}
        for start in range(0, len(order), self._batch_size):
            batch = order[start : start + self._batch_size]
            answers.update(zip(batch, self._generate_batch([prompts[i] for i in batch]), strict=True))
        return [answers[i] for i in range(len(prompts))]

    @torch.inference_mode()
    def _generate_batch(self, prompts: Sequence[Prompt]) -> list[Answer]:
        inputs = self._processor.apply_chat_template(
            [conversation(prompt) for prompt in prompts],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True},
        ).to(self._model.device)
        for name, value in inputs.items():
            if value.is_floating_point():
                inputs[name] = value.to(self._model.dtype)
        output = self._model.generate(**inputs, generation_config=self._generation)
        generated = output[:, inputs["input_ids"].shape[1] :].tolist()
        return [self._answer(prompt, tokens) for prompt, tokens in zip(prompts, generated, strict=True)]

    def _answer(self, prompt: Prompt, tokens: list[int]) -> Answer:
        ends = self._generation.eos_token_id
        ends = ends if isinstance(ends, list) else [ends]
        length = next((i for i, token in enumerate(tokens) if token in ends), None)
        own = tokens[:length]
        text = self._processor.tokenizer.decode(own, skip_special_tokens=True)
        return Answer(prompt.id, text, tuple(own), "length" if length is None else "stop")


def conversation(prompt: Prompt) -> list[dict[str, Any]]:
    """A prompt as the chat messages that a processor's template takes: its images, then its text."""
    images = [{"type": "image", "image": picture} for picture in prompt.pictures()]
    return [{"role": "user", "content": [*images, {"type": "text", "text": prompt.text}]}]


def _opened(model: ModelIdentity | None) -> Checkpoint | None:
    return Checkpoint.open(model.location) if model else None


def _device(name: str) -> torch.device:
    if name != "auto":
        return torch.device(name)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _dtype(name: str, device: torch.device) -> torch.dtype | str:
    """`auto` is the checkpoint's own dtype on a GPU and float32 on a CPU, where bfloat16 is slow and rounds more."""
    if name != "auto":
        return getattr(torch, name)  # type: ignore[no-any-return]
    return torch.float32 if device.type == "cpu" else "auto"
