"""Whether an engine fits its GPUs, from headers and settings alone, before anything is started."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from adamms.checkpoint import DTYPES, Checkpoint
from adamms.checkpoint.checkpoint import total_bytes
from adamms.engines.config import EngineConfig, EngineKind
from adamms.errors import UserError
from adamms.mapping.plan import MergePlan

GB = 1 << 30
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "half": 2, "float": 4}
LOGITS_ROWS = 1024  # rows of logits that vLLM holds at once when it looks at a draft, or samples
ACTIVATION_TOKENS = 8192  # tokens of one forward pass


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes on each GPU of one engine.

    Attributes:
        kv_cache_token: of the KV cache, for one token.
        kv_cache: asked for, or the least that one longest prompt needs.
        originals: of both models' merged weights; they may lie elsewhere.
    """

    weights: int
    kv_cache_token: int
    kv_cache: int
    activations: int
    vision_cache: int
    originals: int

    @property
    def least(self) -> int:
        """Without which the engine does not start."""
        return self.weights + self.kv_cache + self.activations + self.vision_cache


def memory_need(plan: MergePlan, base: Checkpoint, donor: Checkpoint, config: EngineConfig) -> MemoryNeed:
    """What an engine needs of each of its GPUs; a close estimate from above for decoders of the LLaMA kind."""
    text = text_config(base.config)
    ranks = config.tensor_parallel_size
    stored = sum(info.elements * _width(config, info.dtype) for info in base.tensors.values())
    width = _width(config, next(iter(plan.merged)).dtype)
    hidden, layers = int(text["hidden_size"]), int(text["num_hidden_layers"])
    heads = int(text["num_attention_heads"])
    kv_heads = int(text.get("num_key_value_heads") or heads)
    head = int(text.get("head_dim") or hidden // heads)
    per_token = 2 * layers * max(kv_heads // ranks, 1) * head * width
    longest = min(config.max_model_len, int(text.get("max_position_embeddings") or config.max_model_len))
    asked = int(config.kv_cache_gb * GB)
    inner = int(text.get("intermediate_size") or 4 * hidden)
    forward = ACTIVATION_TOKENS * (4 * hidden + 2 * inner // ranks) * width
    logits = 3 * 4 * LOGITS_ROWS * int(text.get("vocab_size") or 0) // ranks
    names = {piece.donor for tensor in plan.merged for piece in tensor.pieces}
    return MemoryNeed(
        weights=stored // ranks,
        kv_cache_token=per_token,
        kv_cache=asked or longest * per_token,
        activations=forward + logits,
        vision_cache=config.vision_cache_tokens * hidden * width,
        originals=total_bytes(base.tensors[tensor.name] for tensor in plan.merged)
        + total_bytes(donor.tensors[name] for name in names),
    )


def check_memory(need: MemoryNeed, free: int, config: EngineConfig) -> str:
    """A sentence that says how the GPU's memory will be used.

    Args:
        free: bytes of one GPU.

    Raises:
        UserError: the engine does not fit; says by how much, and what to change.
    """
    budget = int(free * config.gpu_memory_utilization)
    parts = (
        f"weights {_gb(need.weights)}, KV cache {_gb(need.kv_cache)}, activations {_gb(need.activations)}, "
        f"image embeddings {_gb(need.vision_cache)}"
    )
    if need.least > budget:
        raise UserError(
            f"engine: needs {_gb(need.least)} GB on each GPU ({parts}), has {_gb(budget)} of {_gb(free)} "
            f"(engine.gpu_memory_utilization={config.gpu_memory_utilization:g}); {'; or '.join(_ways(need, config))}"
        )
    room = free - budget
    place = "on the GPU" if need.originals <= room else "in host memory, or read from the files"
    return f"each GPU: {parts} GB of {_gb(budget)}; original weights ({_gb(need.originals)} GB) {place}"


def preflight(plan: MergePlan, config: EngineConfig, gpus: Iterable[int]) -> str | None:
    """Checks the smallest of the GPUs that engines may get (their memory in bytes); None without one."""
    smallest = min(gpus, default=None)
    if smallest is None or config.kind == EngineKind.transformers:
        return None
    need = memory_need(plan, Checkpoint.open(plan.base.location), Checkpoint.open(plan.donor.location), config)
    return check_memory(need, smallest, config)


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The language model's part of a config: nested, or the whole where it is flat."""
    for name in ("text_config", "llm_config", "language_config"):
        if isinstance(config.get(name), dict):
            return {**config, **config[name]}
    return config


def _ways(need: MemoryNeed, config: EngineConfig) -> list[str]:
    """What a user can change, the likeliest first."""
    ways = [f"engine.tensor_parallel_size={2 * config.tensor_parallel_size} (more GPUs for one engine)"]
    if need.kv_cache > need.weights // 4:
        shorter = "lower engine.kv_cache_gb" if config.kv_cache_gb else "lower engine.max_model_len"
        ways.insert(0, shorter)
    if need.vision_cache > need.weights // 4:
        ways.insert(0, "lower engine.vision_cache_tokens")
    if config.gpu_memory_utilization < 0.9:
        ways.append("engine.gpu_memory_utilization=0.92")
    return ways


def _width(config: EngineConfig, stored: str) -> int:
    return DTYPES[stored] if config.dtype == "auto" else BYTES.get(config.dtype, 2)


def _gb(count: int) -> str:
    return f"{count / GB:.1f}"
