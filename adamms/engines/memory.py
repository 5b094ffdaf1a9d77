"""Whether an engine fits, from headers and settings alone, before anything is loaded."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Self

import torch

from adamms.checkpoint import DTYPES, Checkpoint, open_checkpoint
from adamms.checkpoint.checkpoint import total_bytes
from adamms.engines.config import EngineConfig
from adamms.engines.devices import pick_dtype
from adamms.engines.models.families import FAMILIES
from adamms.engines.models.vision_tower import tower_parameters
from adamms.engines.originals import MOST, share_beside_originals
from adamms.errors import UserError
from adamms.mapping.architecture import EMBED_TOKENS, LM_HEAD
from adamms.mapping.numbers import LanguageModelNumbers, text_config
from adamms.mapping.plan import MergePlan, names_from
from adamms.mapping.planner import numbers_of
from adamms.support.system import free_host_memory

GB = 1 << 30
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes on each GPU of one engine or, on a CPU, of its process.

    Attributes:
        runtime: what the process holds before any model: Python, torch, the engine's own libraries.
        weights: of the base, in the dtype that is computed with.
        copies: second copies of weights, which the engine keeps in a layout of its own or a move needs meanwhile.
        kv_cache_token: of the KV cache, for one token.
        kv_cache: asked for, or the least that one longest prompt needs.
        activations: of the largest forward pass, and its logits.
        vision_cache: image embeddings that are kept from one candidate to the next.
        kv_cache_block: of the KV cache, asked for, or such that a whole block of prompts is answered at once.
        originals: of all models' merged weights; they may lie elsewhere, and on a CPU they are page cache.
        moving: on a GPU, what a move holds meanwhile outside the engine's share, beside the originals.
        share: of what is free that the engine takes; None: by `share_beside_originals`.
    """

    weights: int
    kv_cache_token: int
    kv_cache: int
    activations: int
    vision_cache: int = 0
    originals: int = 0
    copies: int = 0
    runtime: int = 0
    share: float | None = 1.0
    kv_cache_block: int = 0
    moving: int = 0

    @property
    def least(self) -> int:
        """Without which the engine does not start."""
        return self.runtime + self.weights + self.copies + self.kv_cache + self.activations + self.vision_cache

    def share_of(self, total: int) -> float:
        """What the engine takes of so many bytes of one GPU, or of the machine."""
        if self.share is not None:
            return self.share
        block = self.least + max(self.kv_cache_block - self.kv_cache, 0)
        return share_beside_originals(total, block, self.originals, self.moving)

    def __str__(self) -> str:
        parts = {
            "process": self.runtime,
            "weights": self.weights,
            "copies of weights": self.copies,
            "KV cache": self.kv_cache,
            "activations": self.activations,
            "image embeddings": self.vision_cache,
        }
        return ", ".join(f"{name} {_gb(count)}" for name, count in parts.items() if count)


@dataclass(frozen=True)
class ModelSizes:
    """What of a base an engine's memory follows from.

    Attributes:
        weights: bytes of all its tensors in the dtype that is computed with, a tower in a second repository included.
        width: bytes of one number in that dtype.
        vocabulary: rows of the embeddings.
        head: bytes of the output head, tied or not.
        longest: tokens of the longest prompt and answer together.
        originals: bytes, as stored, of what is merged: the base's tensors and the donors'.
    """

    numbers: LanguageModelNumbers
    weights: int
    width: int
    vocabulary: int
    head: int
    longest: int
    originals: int

    @classmethod
    def of(
        cls, plan: MergePlan, base: Checkpoint, donors: Sequence[Checkpoint], config: EngineConfig, device: str
    ) -> Self:
        """From headers and configs; the dtype is the one that an engine on this device would compute with."""
        numbers = numbers_of(base, plan.base)
        dtype = pick_dtype(config.dtype, device)

        def width(stored: str) -> int:
            return DTYPES[stored] if dtype == "auto" else BYTES.get(dtype, 2)

        embeddings = [tensor for tensor in plan.tensors if tensor.role in (EMBED_TOKENS, LM_HEAD)]
        head = max(embeddings, key=lambda tensor: prod(tensor.shape), default=None)
        own = text_config(base.config).get("max_position_embeddings") or base.config.get("max_position_embeddings")
        computed = width((head or plan.tensors[0]).dtype)
        family = FAMILIES.get((plan.base.architecture, plan.base.layout))
        beside = tower_parameters(base) if family is not None and family.second else 0
        return cls(
            numbers=numbers,
            weights=sum(info.elements * width(info.dtype) for info in base.tensors.values()) + beside * computed,
            width=computed,
            vocabulary=head.shape[0] if head else 0,
            head=prod(head.shape) * computed if head else 0,
            longest=min(config.max_model_len, own if type(own) is int and own > 0 else config.max_model_len),
            originals=total_bytes(base.tensors[tensor.name] for tensor in plan.merged)
            + sum(total_bytes(d.tensors[n] for n in names_from(plan.merged, i)) for i, d in enumerate(donors)),
        )

    def kv_cache_token(self, ranks: int = 1) -> int:
        """Bytes of the KV cache for one token, on each of the ranks that share its heads."""
        return 2 * self.numbers.layers * max(self.numbers.kv_heads // ranks, 1) * self.numbers.head_dim * self.width

    def forward(self, tokens: int, ranks: int = 1) -> int:
        """Bytes of the activations of a forward pass over so many tokens, on each rank."""
        return tokens * (4 * self.numbers.hidden_size + 2 * self.numbers.intermediate_size // ranks) * self.width

    def logits(self, rows: int, copies: int, ranks: int = 1) -> int:
        """Bytes of so many rows of logits in float32, of which several copies are held at once."""
        return copies * rows * self.vocabulary * 4 // ranks


def check_before_loading(
    memory: Callable[..., MemoryNeed], plan: MergePlan, config: EngineConfig, device: torch.device
) -> float:
    """The share of its device's memory that an engine is given; asked in the process that is about to load it. The log
    says what it will take.

    Args:
        memory: `Engine.memory`.

    Raises:
        UserError: it does not fit.
    """
    base, *donors = (open_checkpoint(model.location) for model in (plan.base, *plan.donors))
    need = memory(plan, base, donors, config, device.type)
    on_gpu = device.type == "cuda"
    free = torch.cuda.get_device_properties(device).total_memory if on_gpu else free_host_memory()
    if free is None:
        return 1.0
    log.info(check_memory(need, free, config, device.type))
    return need.share_of(free)


def check_memory(need: MemoryNeed, free: int, config: EngineConfig, device: str = "cuda") -> str:
    """A sentence that says how memory will be used.

    Args:
        free: bytes of one GPU, or of the machine.

    Raises:
        UserError: the engine does not fit; says by how much, and what to change.
    """
    share = need.share_of(free)
    budget, place = int(free * share), "on each GPU" if device == "cuda" else "of memory"
    if need.least > budget:
        of = f" of {_gb(free)} (engine.gpu_memory_utilization={share:g})" if share < 1 else ""
        ways = "; or ".join(_ways(need, config, device))
        raise UserError(f"engine: needs {_gb(need.least)} GB {place} ({need}), has {_gb(budget)}{of} free; {ways}")
    if device != "cuda":
        return f"each engine: {need} GB of {_gb(budget)} free"
    held = "on the GPU" if need.originals + need.moving <= free - budget else "in host memory, or read from the files"
    return f"each GPU: {need} GB of {_gb(budget)}; original weights ({_gb(need.originals)} GB) {held}"


def _ways(need: MemoryNeed, config: EngineConfig, device: str) -> list[str]:
    """What a user can change, the likeliest first."""
    ways = []
    if need.vision_cache > need.weights // 4:
        ways.append("lower engine.vision_cache_tokens")
    if need.kv_cache > need.weights // 4:
        ways.append("lower engine.kv_cache_gb" if config.kv_cache_gb else "lower engine.max_model_len")
    if device == "cuda":
        ways.append(f"engine.tensor_parallel_size={2 * config.tensor_parallel_size} (more GPUs for one engine)")
    elif pick_dtype(config.dtype, device) == "float32":
        ways.append("engine.dtype=bfloat16 (half the weights)")
    if device == "cuda" and need.share is not None and need.share < MOST:
        ways.append("engine.gpu_memory_utilization=0.92")
    if device != "cuda" and config.actors > 1:
        ways.append("lower engine.actors")
    return ways or ["a machine with more memory"]


def _gb(count: int) -> str:
    return f"{count / GB:.1f}"
