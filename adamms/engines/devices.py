"""Which device and dtype an engine computes with."""

import torch

from adamms.engines.identity import dtype_name


def pick_device(name: str) -> torch.device:
    """The device named; `auto` is cuda where there is one."""
    if name != "auto":
        return torch.device(name)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def pick_dtype(name: str, device: str) -> str:
    """The dtype named; `auto` stays so on a GPU (the checkpoint's own) and is float32 on a CPU, where bfloat16
    rounds more and is mostly slow."""
    return "float32" if name == "auto" and device == "cpu" else dtype_name(name)
