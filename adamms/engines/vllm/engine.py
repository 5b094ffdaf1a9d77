from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

import torch

from adamms.checkpoint import Checkpoint, open_checkpoint
from adamms.engines.answer_reader import AnswerReader
from adamms.engines.chat import Chat
from adamms.engines.config import EngineConfig
from adamms.engines.devices import pick_device, pick_dtype
from adamms.engines.engine import Answer, Effort, Engine, EngineSpec
from adamms.engines.identity import EngineIdentity
from adamms.engines.lengths import model_length
from adamms.engines.loadable import LoadableFolder
from adamms.engines.memory import GB, MemoryNeed, ModelSizes, check_before_loading
from adamms.engines.models.families import family_of
from adamms.engines.peak import PeakMemory, take_peak
from adamms.errors import UserError
from adamms.mapping.numbers import text_config
from adamms.mapping.plan import MergePlan
from adamms.mapping.stage import stage
from adamms.merging.recipe import Recipe
from adamms.prompts.prompt import Prompt

WORKER_EXTENSION = "adamms.engines.vllm.worker.MergeExtension"
VISION_CACHE = "adamms.engines.vllm.vision_cache.VisionCache"
DRAFT_CHUNK = 1024  # prompt tokens whose logits are computed at once when a draft or a given answer is looked at
BATCHED_TOKENS = 8192  # tokens of one forward pass, where no prompt is longer
CPU_KV_CACHE_GB = 1.0
CPU_CACHE_BLOCK = 32  # tokens: what a draft or an answer follows is computed again from its last whole block on
HEAD_COPIES = 3  # of the largest tensor in a move: merged, as the loader copies it, packed; a tied one has a fourth
CPU_RUNTIME = 1200 << 20  # measured: Python, torch and vLLM, before a model

log = logging.getLogger(__name__)


class VllmEngine(Engine):
    """Holds the base model in vLLM's offline `LLM`, started once; `move` merges the donor into its workers' weights."""

    @staticmethod
    def missing() -> str | None:
        if importlib.util.find_spec("vllm") is not None:
            return None
        if pick_device("auto").type == "cuda":
            return "vLLM is not installed; `pip install 'adamms[vllm]'`, or engine.kind=transformers"
        return (
            "vLLM is not installed, and its build for CPUs installs only from a clone of the repository, where it is "
            "`make setup`; or engine.kind=transformers"
        )

    @staticmethod
    def unfit(spec: EngineSpec, device: str) -> str | None:
        """See `Engine.unfit`: on a CPU it is taken only where it is asked for, or nothing else has the model."""
        if family_of(spec.plan.base) is not None:
            return None
        if device != "cuda":
            return f"vLLM on {device} has to be asked for by engine.kind=vllm"
        from vllm import ModelRegistry

        classes = open_checkpoint(spec.plan.base.location).config.get("architectures") or []
        known = set(classes) & set(ModelRegistry.get_supported_archs())
        return None if known else f"vLLM does not know {', '.join(classes) or 'a model without `architectures`'}"

    @staticmethod
    def gpus(config: EngineConfig) -> int:
        return config.tensor_parallel_size

    @staticmethod
    def keeps_images(config: EngineConfig) -> bool:
        return config.vision_cache_tokens > 0

    @staticmethod
    def memory(
        plan: MergePlan, base: Checkpoint, donors: Sequence[Checkpoint], config: EngineConfig, device: str
    ) -> MemoryNeed:
        """See `Engine.memory`: a close estimate from above for decoders of the LLaMA kind."""
        ranks, sizes = config.tensor_parallel_size, ModelSizes.of(plan, base, donors, config, device)
        per_token, on_cpu = sizes.kv_cache_token(ranks), device == "cpu"
        asked = int((config.kv_cache_gb or (CPU_KV_CACHE_GB if on_cpu else 0)) * GB)
        return MemoryNeed(
            runtime=CPU_RUNTIME if on_cpu else 0,
            weights=sizes.weights // ranks,
            copies=(HEAD_COPIES + sizes.numbers.tied_embeddings) * sizes.head if on_cpu else 0,
            kv_cache_token=per_token,
            kv_cache=asked or sizes.longest * per_token,
            activations=sizes.forward(BATCHED_TOKENS, ranks) + sizes.logits(DRAFT_CHUNK, copies=3, ranks=ranks),
            vision_cache=config.vision_cache_tokens * sizes.numbers.hidden_size * sizes.width,
            originals=sizes.originals // ranks,  # each rank merges its part of the tensors
            share=1.0 if on_cpu else config.gpu_memory_utilization,
            kv_cache_block=asked or sizes.longest * per_token * config.block_size,
            moving=0 if on_cpu else HEAD_COPIES * sizes.head,
        )

    def __init__(self, spec: EngineSpec) -> None:
        self.effort = Effort()
        self._config = spec.config
        device = pick_device(spec.config.device)
        share = check_before_loading(self.memory, spec.plan, spec.config, device)
        base = stage(spec.plan.base)
        check_linear_attention(base.config, spec.config.dtype, device.type, spec.plan.base.location)
        self._folder = LoadableFolder(base, spec)  # vLLM reads processors from it later, too
        self._chat = Chat(self._folder.path, spec.config.trust_remote_code)
        self._reader = AnswerReader(self._chat, spec.config.max_tokens, spec.config.stop)
        _set_environment(spec.config)
        from vllm import LLM

        arguments = engine_arguments(spec.config, self._folder.path, device.type, share)
        self._longest: int = arguments["max_model_len"]
        arguments["enforce_eager"] |= (family := family_of(spec.plan.base)) is not None and family.eager
        try:
            self._llm = LLM(worker_extension_cls=WORKER_EXTENSION, **arguments)
        except ValueError as error:  # what vLLM says of settings that do not fit the model or the machine
            raise UserError(
                f"vLLM refuses {base.location}: {_one_line(error)}; change the settings engine.*"
            ) from error
        dtype = self._llm.llm_engine.vllm_config.model_config.dtype
        self.identity = EngineIdentity.of("vllm", dtype, device.type, "vllm")
        self.adopt(spec.plan)

    def adopt(self, plan: MergePlan) -> None:
        """See `Engine.adopt`. What vision features are kept stay: they are the base's."""
        self._llm.collective_rpc("adamms_adopt", args=(plan,))

    def move(self, recipe: Recipe) -> str:
        digests = set(self._llm.collective_rpc("adamms_move", args=(recipe,)))
        # After the update, never before: what it holds was computed with the old weights.
        if not self._llm.reset_prefix_cache():
            raise RuntimeError("vLLM kept its prefix cache, which belongs to the weights before the move")
        if not self._config.vision_cache_tokens:
            self._llm.llm_engine.reset_encoder_cache()
        if len(digests) != 1:
            raise RuntimeError(f"the ranks of one engine merged different weights: {sorted(digests)}")
        return str(digests.pop())

    def generate(self, prompts: Sequence[Prompt], drafts: Mapping[str, Sequence[int]] | None = None) -> list[Answer]:
        """See `Engine.generate`. A draft is looked at in one prefill; where it departs from greedy decoding,
        decoding goes on from there."""
        encoded = self._encoded_images()
        requests = [self._request(prompt) for prompt in prompts]
        generated: list[_Generated] = [_Generated() for _ in prompts]
        if drafts and self._config.drafts:
            given = [list(drafts.get(prompt.id, ()))[: self._config.max_tokens] for prompt in prompts]
            self._take_drafts(requests, generated, given)
        self._decode(requests, generated)
        self.effort += Effort(encoded_images=self._encoded_images() - encoded)
        return [
            self._reader.read(prompt.id, made.tokens, made.logprobs)
            for prompt, made in zip(prompts, generated, strict=True)
        ]

    def score(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """See `Engine.score`. As with drafts, one prefill leaves every prompt in the prefix cache, once for all of its
        answers; another looks at the answers."""
        encoded = self._encoded_images()
        requests = [self._request(prompt) for prompt in prompts]
        asked = {_question(prompt): request for prompt, request in zip(prompts, requests, strict=True)}
        rooms = dict(zip(asked, map(self._room, self._run(list(asked.values()), _one_token())), strict=True))
        tokens = [
            self._reader.tokens_of(prompt.given)[: rooms[_question(prompt)]]
            for prompt in prompts
            if prompt.given is not None
        ]
        continued = [_continued(request, given) for request, given in zip(requests, tokens, strict=True)]
        looks = self._run(continued, _look())
        again = [i for i, look in enumerate(looks) if _is_cached(look, len(tokens[i]))]
        for i, look in zip(again, self._run([continued[i] for i in again], _look(cached=False)), strict=True):
            looks[i] = look
        self.effort += Effort(encoded_images=self._encoded_images() - encoded)
        return [
            self._reader.scored(prompt, given, _logprobs(given, look))
            for prompt, given, look in zip(prompts, tokens, looks, strict=True)
        ]

    def take_peak(self) -> PeakMemory:
        """See `Engine.take_peak`; ranks in processes of their own are part of the engine."""
        found: dict[int, PeakMemory] = dict(self._llm.collective_rpc("adamms_take_peak"))
        if os.getpid() not in found:
            found[os.getpid()] = take_peak(torch.device("cpu"))
        return reduce(PeakMemory.beside, found.values())

    def _room(self, read: Any) -> int:
        """How many tokens after a prompt that was read can be looked at: one more has to fit, since vLLM always
        answers."""
        return self._longest - 1 - len(read.prompt_token_ids)

    def _request(self, prompt: Prompt) -> dict[str, Any]:
        request: dict[str, Any] = {"prompt_token_ids": self._chat.tokens(prompt)}
        if prompt.images:
            request["multi_modal_data"] = {"image": prompt.pictures()}
        return request

    def _take_drafts(
        self, requests: Sequence[Mapping[str, Any]], generated: Sequence[_Generated], drafts: list[list[int]]
    ) -> None:
        """Puts into `generated` the part of each draft that greedy decoding would produce, and the token after it
        where all of it would.

        One prefill gives every answer's first token and leaves the prompt in the prefix cache; another, of the drafts
        that begin with it, then says how far they hold. So no logits are computed for the prompt, which images make
        much longer than an answer.
        """
        chosen = [i for i, draft in enumerate(drafts) if draft]
        outputs = self._run([requests[i] for i in chosen], _one_token())
        for i, output in zip(chosen, outputs, strict=True):
            generated[i].add(output.outputs[0].token_ids, output.outputs[0].logprobs)
            drafts[i] = drafts[i][: self._room(output)]
        begun = [i for i in chosen if len(drafts[i]) > 1 and generated[i].tokens == drafts[i][:1]]
        outputs = self._run([_continued(requests[i], drafts[i]) for i in begun], _look())
        taken = 0
        for i, output in zip(begun, outputs, strict=True):
            rest = drafts[i][1:]
            if _is_cached(output, len(rest)):
                continue  # the same prompt is answered twice
            accepted = _accepted(rest, output.prompt_logprobs)
            generated[i].add(rest[:accepted], output.prompt_logprobs[-len(rest) :])
            taken += accepted
            if accepted == len(rest) and not self._reader.complete(generated[i].tokens):
                generated[i].add(output.outputs[0].token_ids, output.outputs[0].logprobs)
        self.effort += Effort(decoded_tokens=len(chosen) + len(begun), drafted_tokens=taken)

    def _decode(self, requests: Sequence[Mapping[str, Any]], generated: Sequence[_Generated]) -> None:
        from vllm import SamplingParams

        open_ends = [i for i, made in enumerate(generated) if not self._reader.complete(made.tokens)]
        options = [
            SamplingParams(
                temperature=0.0,
                max_tokens=self._config.max_tokens - len(generated[i].tokens),
                logprobs=0,
                stop=list(self._config.stop),
                stop_token_ids=sorted(self._chat.ends),
            )
            for i in open_ends
        ]
        outputs = self._run([_continued(requests[i], generated[i].tokens) for i in open_ends], options)
        decoded = 0
        for i, output in zip(open_ends, outputs, strict=True):
            generated[i].add(output.outputs[0].token_ids, output.outputs[0].logprobs)
            decoded += len(output.outputs[0].token_ids)
        self.effort += Effort(decoded_tokens=decoded)

    def _run(self, requests: Sequence[Any], options: Any) -> list[Any]:
        """`options`: of all of them, or of each."""
        return list(self._llm.generate(requests, options, use_tqdm=False)) if requests else []

    def _encoded_images(self) -> int:
        return int(self._llm.collective_rpc("adamms_encoded_images")[0])


@dataclass
class _Generated:
    """What is there of an answer so far."""

    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)

    def add(self, tokens: Sequence[int], given: Sequence[Mapping[int, Any] | None]) -> None:
        """`given`: what vLLM says of each token, by its id."""
        for token, found in zip(tokens, given, strict=False):
            assert found is not None, "vLLM gives a log-probability for every token that it is asked for"
            self.tokens.append(token)
            self.logprobs.append(float(found[token].logprob))


def _question(prompt: Prompt) -> tuple[Any, ...]:
    """The prompt without the answer that it may bring along."""
    return prompt.text, prompt.system, prompt.images


def check_linear_attention(config: Mapping[str, Any], dtype: str, device: str, where: str) -> None:
    """Raises UserError where vLLM would only say so amid the first answers: on a CPU it computes the gated linear
    attention of Qwen3-Next, Qwen3.5 and their kin in bfloat16 alone."""
    gated = "linear_num_value_heads" in text_config(config)
    if gated and device == "cpu" and pick_dtype(dtype, device) != "bfloat16":
        raise UserError(f"{where}: vLLM computes linear attention on a CPU in bfloat16 only; set engine.dtype=bfloat16")


def engine_arguments(config: EngineConfig, folder: Path, device: str, share: float = 1.0) -> dict[str, Any]:
    """What `vllm.LLM` is started with. `share`: of each GPU's memory."""
    longest = model_length(config, folder)
    arguments: dict[str, Any] = {
        "model": str(folder),
        "dtype": pick_dtype(config.dtype, device),
        "tensor_parallel_size": config.tensor_parallel_size,
        "max_model_len": longest,
        "max_num_batched_tokens": max(longest, BATCHED_TOKENS),
        "long_prefill_token_threshold": min(longest, DRAFT_CHUNK),
        "enforce_eager": config.enforce_eager or device == "cpu",
        "trust_remote_code": config.trust_remote_code,
        "generation_config": "vllm",  # nothing of the checkpoint's own sampling; its end tokens are given by request
        "limit_mm_per_prompt": {"video": 0},
        "ec_manager_config": {
            "encoder_cache_manager_cls": VISION_CACHE,
            "manager_config": {"tokens": config.vision_cache_tokens},
        },
        "disable_log_stats": True,
        "seed": 0,
    }
    if device == "cuda":
        arguments["gpu_memory_utilization"] = share
    kv_cache_gb = config.kv_cache_gb or (CPU_KV_CACHE_GB if device == "cpu" else 0)
    if kv_cache_gb:
        arguments["kv_cache_memory_bytes"] = int(kv_cache_gb * GB)
    if device == "cpu":
        arguments["block_size"] = CPU_CACHE_BLOCK
        arguments["skip_mm_profiling"] = True
        arguments["distributed_executor_backend"] = "uni" if config.tensor_parallel_size == 1 else "mp"
    return arguments


def _set_environment(config: EngineConfig) -> None:
    """vLLM reads its environment when it is imported; this is the actor's own process."""
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # the engine's core in this process, with its scheduler
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    # Several actors on one machine would otherwise be bound to the same cores.
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    if config.batch_invariant:
        os.environ["VLLM_BATCH_INVARIANT"] = "1"


def _one_token(**options: Any) -> Any:
    """How to ask for one token; what is computed for the prompt stays in the prefix cache."""
    from vllm import SamplingParams

    return SamplingParams(temperature=0.0, max_tokens=1, logprobs=0, detokenize=False, **options)


def _look(cached: bool = True) -> Any:
    """How to ask for the log-probabilities of a prompt's own tokens; of `cached` ones vLLM says nothing."""
    return _one_token(prompt_logprobs=0, skip_reading_prefix_cache=not cached)


def _is_cached(look: Any, count: int) -> bool:
    """Whether vLLM had some of the last `count` tokens cached, or the one that their first follows from."""
    return bool(look.num_cached_tokens > len(look.prompt_token_ids) - count - 1)


def _logprobs(tokens: Sequence[int], look: Any) -> list[float]:
    """Of the last tokens that were looked at."""
    steps = look.prompt_logprobs[len(look.prompt_logprobs) - len(tokens) :]
    return [float(step[token].logprob) for token, step in zip(tokens, steps, strict=True)]


def _continued(request: Mapping[str, Any], tokens: Sequence[int]) -> dict[str, Any]:
    return {**request, "prompt_token_ids": [*request["prompt_token_ids"], *tokens]}


def _accepted(draft: Sequence[int], logprobs: Sequence[Mapping[int, Any] | None]) -> int:
    """How many tokens of the draft, from its first, are the likeliest ones: what greedy decoding takes."""
    for position, (token, given) in enumerate(zip(draft, logprobs[-len(draft) :], strict=True)):
        if given is None or given[token].rank != 1:
            return position
    return len(draft)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:500]
