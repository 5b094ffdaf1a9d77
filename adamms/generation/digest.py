"""A digest of live weights: equal for equal bits, wherever they are computed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_CHUNK = 1 << 22
_PRIME = (1 << 31) - 1


class WeightsDigest:
    """Sums each tensor's bits on its own device, weighted by position, and hashes the sums with the names."""

    def __init__(self) -> None:
        self._hasher = hashlib.sha256()

    def add(self, name: str, tensor: Tensor) -> None:
        """Takes in a tensor of any floating dtype, on any device."""
        self._hasher.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} {_checksum(tensor)}\n".encode())

    def hex(self) -> str:
        """The digest of what was added, in order."""
        return self._hasher.hexdigest()[:16]


def _checksum(tensor: Tensor) -> int:
    import torch

    integers = {2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    flat, total = tensor.detach().reshape(-1).view(integers), 0
    for start in range(0, len(flat), _CHUNK):
        part = flat[start : start + _CHUNK].to(torch.int64)
        weights = torch.arange(1, len(part) + 1, device=part.device)
        total = (total * 31 + int((part % _PRIME * weights).sum())) % (1 << 61)
    return total
