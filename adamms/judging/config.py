"""Settings of lmms-eval."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LmmsEvalConfig:
    tasks: tuple[str, ...] = ()
    """lmms-eval's tasks for the winner, such as mmmu_val, ocrbench; none: it is not run."""
    python: str = ""
    """The Python it is installed for; empty: this one. An environment of its own spares conflicts with vLLM's needs."""
    model: str = "vllm"
    """Its name of the model class: vllm, qwen2_vl, llava_onevision, ..."""
    model_args: tuple[str, ...] = ()
    """Further arguments of the model class, such as tensor_parallel_size=4."""
    batch_size: int = 1
    options: tuple[str, ...] = ()
    """Further options of its command line, such as --limit=100 or --include_path=DIR with tasks of your own."""
