from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from adamms.checkpoint import Checkpoint
from adamms.checkpoint.names import Names
from adamms.engines.answer_reader import AnswerReader
from adamms.engines.chat import Chat
from adamms.engines.config import EngineConfig
from adamms.engines.devices import pick_device, pick_dtype
from adamms.engines.engine import Answer, Effort, Engine, EngineSpec
from adamms.engines.identity import EngineIdentity
from adamms.engines.live_merge import KnownStatistics, LiveMerge
from adamms.engines.loadable import LoadableFolder
from adamms.engines.memory import MemoryNeed, ModelSizes, check_before_loading
from adamms.engines.models.families import family_of
from adamms.engines.originals import nearby_originals
from adamms.engines.peak import PeakMemory, take_peak
from adamms.errors import UserError
from adamms.mapping.live_places import live_places
from adamms.mapping.plan import MergePlan
from adamms.mapping.stage import stage
from adamms.merging import Originals
from adamms.merging.recipe import Recipe
from adamms.prompts.prompt import Prompt

RUNTIME = 1050 << 20  # measured: Python, torch, transformers and a processor, without the model
PROMPT_TOKENS = 1024  # of a prompt with an image of moderate size


class TransformersEngine(Engine):
    """Holds the base model in plain `transformers`, the default where there is no GPU; `move` merges the donor into its
    live parameters.

    Weights are rounded to the checkpoint's dtype before they become the live dtype, so that the live model is
    the one that the exported checkpoint would load as.
    """

    @staticmethod
    def unfit(spec: EngineSpec, device: str) -> str | None:
        """See `Engine.unfit`."""
        if family_of(spec.plan.base) is None:
            return None
        return f"transformers does not read {spec.plan.base.location} as its authors publish it; engine.kind=vllm does"

    @staticmethod
    def memory(
        plan: MergePlan, base: Checkpoint, donors: Sequence[Checkpoint], config: EngineConfig, device: str
    ) -> MemoryNeed:
        """See `Engine.memory`: every prompt of a batch is taken to be `PROMPT_TOKENS` long."""
        sizes = ModelSizes.of(plan, base, donors, config, device)
        prompt = min(PROMPT_TOKENS, sizes.longest)
        return MemoryNeed(
            runtime=RUNTIME,
            weights=sizes.weights,
            kv_cache_token=sizes.kv_cache_token(),
            kv_cache=config.batch_size * min(prompt + config.max_tokens, sizes.longest) * sizes.kv_cache_token(),
            activations=sizes.forward(config.batch_size * prompt) + sizes.logits(config.batch_size, copies=3),
            originals=sizes.originals,
        )

    def __init__(self, spec: EngineSpec) -> None:
        from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

        self.effort = Effort()
        self._batch_size, self._base_architecture = spec.config.batch_size, spec.base_architecture
        base = stage(spec.plan.base)
        if (reason := self.unfit(spec, "")) is not None:
            raise UserError(f"engine.kind=transformers: {reason}")
        device = pick_device(spec.config.device)
        check_before_loading(self.memory, spec.plan, spec.config, device)
        folder = LoadableFolder(base, spec)
        self._chat = Chat(folder.path, spec.config.trust_remote_code)
        self._reader = AnswerReader(self._chat, spec.config.max_tokens, spec.config.stop)
        model = (AutoModelForImageTextToText if self._chat.sees else AutoModelForCausalLM).from_pretrained(
            folder.path,
            dtype=pick_dtype(spec.config.dtype, device.type),
            trust_remote_code=spec.config.trust_remote_code,
        )
        self._model = model.to(device).eval()
        self.identity = EngineIdentity.of("transformers", self._model.dtype, device.type)
        self._generation = _greedy(self._chat, spec.config)
        self._model.generation_config = self._generation
        self._moved: dict[str, Tensor] = {}  # live parameters, by the names of the base, that a move has changed
        self._take_changed(base)
        self.adopt(spec.plan)

    @torch.no_grad()
    def _take_changed(self, base: Checkpoint) -> None:
        """Gives the live model the tensors of the base that are not what its files hold.

        Raises:
            UserError: one of them has no counterpart in the live model.
        """
        parameters = self._model.state_dict()
        names = Names(parameters)
        for name in base.changed:
            live = parameters.get(names.find(name) or "")
            if live is None or live.shape != base.tensors[name].shape:
                raise UserError(
                    f"{base.location}: the live model has no counterpart of {name!r}, which the adapter changes; add "
                    "the adapter with PEFT's merge_and_unload() and give the model that this saves"
                )
            live.copy_(base.read(name).view(live.shape))

    def adopt(self, plan: MergePlan) -> None:
        parameters = self._model.state_dict()
        base = stage(plan.base)
        places = live_places(
            base,
            self._base_architecture,
            {name: tuple(parameter.shape) for name, parameter in parameters.items()},
            [tensor.name for tensor in plan.merged],
        )
        left = [name for name in self._moved if name not in places]
        self._originals: Originals | None = None  # before the others come: both may not fit
        self._originals = nearby_originals(plan, plan.merged, self._model.device)
        self._plan, self._known = plan, KnownStatistics()
        self._parameters: dict[str, Tensor] = {
            name: parameters[place.parameter].view(-1)[place.start : place.start + base.tensors[name].elements]
            for name, place in places.items()
        }
        with torch.no_grad():
            for name in left:
                parameter = self._moved.pop(name)
                parameter.copy_(self._originals.base.read(name).view(parameter.shape))

    def move(self, recipe: Recipe) -> str:
        """See `Engine.move`. Every weight is computed from the originals, so nothing accumulates."""
        assert self._originals is not None
        merge = LiveMerge(self._plan, self._originals, recipe, self._model.device, known=self._known)
        for tensor, _ in merge.into(self._plan.merged, lambda tensor: self._parameters[tensor.name]):
            self._moved[tensor.name] = self._parameters[tensor.name]
        return merge.digest()

    def generate(self, prompts: Sequence[Prompt], drafts: Mapping[str, Sequence[int]] | None = None) -> list[Answer]:
        """See `Engine.generate`; drafts are not used, and images are encoded anew for every candidate."""
        # Prompts of similar length share a batch, so that little is spent on padding.
        order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i].images), len(prompts[i].text)))
        answers: dict[int, Answer] = {}
        for start in range(0, len(order), self._batch_size):
            batch = order[start : start + self._batch_size]
            answers.update(zip(batch, self._generate_batch([prompts[i] for i in batch]), strict=True))
        return [answers[i] for i in range(len(prompts))]

    def score(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """See `Engine.score`: one forward pass a prompt, so that nothing is padded."""
        self.effort += Effort(encoded_images=sum(len(prompt.images) for prompt in prompts))
        return [self._score(prompt) for prompt in prompts]

    def take_peak(self) -> PeakMemory:
        return take_peak(self._model.device)

    @torch.inference_mode()
    def _score(self, prompt: Prompt) -> Answer:
        assert prompt.given is not None
        tokens = self._reader.tokens_of(prompt.given)
        inputs = self._inputs([prompt])
        asked = inputs["input_ids"].shape
        for name, value in inputs.items():
            if value.shape == asked:  # ids, the attention mask and, of some models, each token's type
                more = {"input_ids": tokens, "attention_mask": [1] * len(tokens)}.get(name, [0] * len(tokens))
                inputs[name] = torch.cat([value, value.new_tensor([more])], dim=1)
        logits = self._model(**inputs, use_cache=False, logits_to_keep=len(tokens) + 1).logits[0, -len(tokens) - 1 : -1]
        given = logits.float().log_softmax(-1).gather(1, torch.tensor(tokens, device=logits.device)[:, None])
        return self._reader.scored(prompt, tokens, given[:, 0].tolist())

    def _inputs(self, prompts: Sequence[Prompt]) -> Any:
        inputs = self._chat.inputs(prompts).to(self._model.device)
        for name, value in inputs.items():
            if value.is_floating_point():
                inputs[name] = value.to(self._model.dtype)
        return inputs

    @torch.inference_mode()
    def _generate_batch(self, prompts: Sequence[Prompt]) -> list[Answer]:
        from transformers import LogitsProcessorList

        inputs = self._inputs(prompts)
        stops = {"tokenizer": self._chat.tokenizer} if self._generation.stop_strings else {}
        likelihood = _Likelihood()
        output = self._model.generate(
            **inputs, generation_config=self._generation, logits_processor=LogitsProcessorList([likelihood]), **stops
        )
        generated = output[:, inputs["input_ids"].shape[1] :].tolist()
        answers = [
            self._reader.read(prompt.id, tokens, logprobs)
            for prompt, tokens, logprobs in zip(prompts, generated, likelihood.rows(), strict=True)
        ]
        decoded = sum(len(answer.tokens) + (answer.finish_reason == "stop") for answer in answers)
        self.effort += Effort(decoded_tokens=decoded, encoded_images=sum(len(prompt.images) for prompt in prompts))
        return answers


class _Likelihood:
    """Looks on while tokens are chosen: greedy decoding takes the likeliest one, whose log-probability it notes."""

    def __init__(self) -> None:
        self._steps: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """`scores`: logits [batch, vocabulary] of the next token, handed on as they are."""
        logits = scores.float()
        self._steps.append(logits.amax(-1) - logits.logsumexp(-1))
        return scores

    def rows(self) -> list[list[float]]:
        """A list of log-probabilities for every prompt of the batch."""
        rows: list[list[float]] = torch.stack(self._steps, dim=1).tolist()
        return rows


def _greedy(chat: Chat, config: EngineConfig) -> Any:
    """Greedy whatever the checkpoint's generation_config says of sampling, temperature, or penalties."""
    from transformers import GenerationConfig

    padding = chat.tokenizer.pad_token_id
    return GenerationConfig(
        do_sample=False,
        max_new_tokens=config.max_tokens,
        eos_token_id=sorted(chat.ends) or None,
        bos_token_id=chat.tokenizer.bos_token_id,
        pad_token_id=padding if padding is not None else min(chat.ends, default=0),
        stop_strings=list(config.stop) or None,
    )
