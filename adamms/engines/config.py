from dataclasses import dataclass

from adamms.errors import UserError

AUTO = "auto"
ENGINES = {  # kind -> where its class is, imported when it is needed; `auto` takes the first that fits
    "vllm": "adamms.engines.vllm.engine:VllmEngine",
    "transformers": "adamms.engines.transformers_engine:TransformersEngine",
}


def check_kind(kind: str) -> None:
    """Raises UserError for a kind that is not registered."""
    if kind != AUTO and kind not in ENGINES:
        raise UserError(f"engine.kind={kind}: unknown; known are {', '.join([AUTO, *ENGINES])}")


@dataclass(frozen=True)
class EngineConfig:
    """How prompts are answered."""

    kind: str = "auto"
    """vllm, transformers, or auto: vllm where there is an NVIDIA GPU and vllm knows the base's architecture."""
    actors: int = 1
    """Engines that work side by side, each in its own Ray actor with its own copy of the base."""
    tensor_parallel_size: int = 1
    """GPUs of one engine (vllm)."""
    cpus: int = 0
    """Cores that an actor reserves and computes with; 0: one a GPU, or on a cluster without GPUs its even share."""
    dtype: str = "auto"
    """auto: the checkpoint's own on a GPU; float32 on a CPU, since bfloat16 rounds more and most processors are slow
    with it (one that has AVX512-BF16 or AMX takes half the time, and half the memory)."""
    device: str = "auto"
    """auto: cuda where there is one, else cpu; cuda also asks an autoscaling cluster for its first GPU."""
    max_tokens: int = 64
    """Longest answer."""
    stop: tuple[str, ...] = ()
    """An answer ends before the first of these strings."""
    max_model_len: int = 8192
    """Longest prompt and answer together (vllm), capped at the model's own."""
    batch_size: int = 16
    """Prompts answered at once (transformers; vllm decides by itself)."""
    block_size: int = 32
    """Prompts in one unit of work."""
    drafts: bool = True
    """Try another candidate's answer before decoding one (vllm); answers are the same, decoding is less."""
    gpu_memory_utilization: float | None = None
    """Share of a GPU's memory for weights, activations and KV cache (vllm); if not given, what the original weights of
    both models leave, where these fit beside all that a block of prompts needs, else 0.9."""
    kv_cache_gb: float = 0.0
    """KV cache of an engine (vllm); 0: what is left of the GPU's share, or 1 GB on a CPU."""
    vision_cache_tokens: int = 65536
    """Image embeddings kept from one candidate to the next (vllm), at best as many as all prompts have; 0: none."""
    batch_invariant: bool = False
    """Kernels whose results do not depend on the batch (vllm on CUDA): slower, but greedy answers repeat exactly."""
    enforce_eager: bool = False
    """Skip CUDA graphs and compilation: starts sooner, decodes slower (vllm)."""
    unit_timeout_s: float = 3600.0
    """An actor that is at one unit for longer is killed and the unit tried again; 0: never."""
    start_timeout_s: float = 3600.0
    """How long to wait for the first engine to be ready; 0: for ever."""
    trust_remote_code: bool = False
    """Run Python code that the checkpoint brings along."""

    def __post_init__(self) -> None:
        """Raises UserError for a kind of engine that is not registered, and for counts of nothing."""
        check_kind(self.kind)
        for name in ("actors", "tensor_parallel_size", "max_tokens", "max_model_len", "batch_size", "block_size"):
            if getattr(self, name) < 1:
                raise UserError(f"engine.{name}={getattr(self, name)}: expected at least 1")
