"""Merge methods: pure functions on tensors, registered by name. alpha weighs the donor, everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Method = Callable[["Tensor", "Tensor", float], "Tensor"]
METHODS: dict[str, Method] = {}


def method(function: Method) -> Method:
    """Registers a method under its function's name."""
    METHODS[function.__name__] = function
    return function


@method
def linear(base: Tensor, donor: Tensor, alpha: float) -> Tensor:
    """(1 - alpha) * base + alpha * donor (AdaMMS, equation 2).

    Args:
        base, donor: float32, of one shape. Neither is changed.
    """
    import torch

    return torch.lerp(base, donor, alpha)
