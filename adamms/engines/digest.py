"""A digest of live weights: equal for equal bits, wherever and in whatever order they are computed."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_CHUNK = {"cpu": 1 << 15, "cuda": 1 << 22}  # 64-bit words that are added up at once


class WeightsDigest:
    """Sums each tensor's bits on its own device, weighted by position, and hashes the sums with the names."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}

    def add(self, name: str, tensor: Tensor) -> None:
        """Takes in a tensor of any dtype, on any device."""
        self.add_sum(f"{name} {tensor.dtype} {tuple(tensor.shape)}", checksum(tensor.detach().reshape(-1)))

    def add_sum(self, name: str, checksum: Tensor) -> None:
        """Takes in the checksum of some elements of a tensor; those of all its parts may come in any order."""
        self._sums[name] = self._sums[name] + checksum if name in self._sums else checksum

    def hex(self) -> str:
        """The digest of what was added."""
        lines = "".join(f"{name} {int(self._sums[name])}\n" for name in sorted(self._sums))
        return hashlib.sha256(lines.encode()).hexdigest()[:16]


def checksum(values: Tensor, start: int = 0) -> Tensor:
    """The sum of a tensor's 64-bit words, each times an odd number that no other position has, modulo 2^64.

    The checksums of the parts of a tensor, however it is cut, add up to that of the whole.

    Args:
        values: elements from `start` on, 1-D.
    """
    import torch

    octets, first = values.view(torch.uint8), start * values.element_size()
    before, after = first % 8, -(first + len(octets)) % 8
    if before or after or values.storage_offset() * values.element_size() % 8:
        octets = torch.nn.functional.pad(octets, (before, after))  # a word that is cut in two is the sum of both parts
    words, total = octets.view(torch.int64), torch.zeros((), dtype=torch.int64, device=values.device)
    size = _CHUNK[values.device.type]
    odd = _odd_numbers(size, values.device)
    for position in range(0, len(words), size):
        part = words[position : position + size]
        total += (part * odd[: len(part)]).sum() + part.sum() * (2 * (first // 8 + position))
    return total


@lru_cache(maxsize=8)
def _odd_numbers(count: int, device: torch.device) -> Tensor:
    import torch

    return torch.arange(1, 2 * count, 2, device=device)
