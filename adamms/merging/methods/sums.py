"""Sums whose bits do not depend on the number of torch's threads."""

import struct

from adamms.support.tensor import Tensor

_SERIAL = 1 << 14  # elements that torch never adds up in parallel


def inner_products(*pairs: tuple[Tensor, Tensor]) -> Tensor:
    """The inner product of each pair, in float64."""
    import torch

    return torch.stack([_sum(a.double().mul_(b)) for a, b in pairs])


def _sum(values: Tensor) -> Tensor:
    total = values[:_SERIAL].sum()
    for start in range(_SERIAL, len(values), _SERIAL):
        total = total + values[start : start + _SERIAL].sum()
    return total


def as_float32(value: float) -> float:
    """Rounds to float32, since the last bits of a float64 sum depend on the processor's vector width."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])
