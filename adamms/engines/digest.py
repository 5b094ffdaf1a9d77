"""A digest of live weights: equal for equal bits, wherever and in whatever order they are computed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_CHUNK = 1 << 22


class WeightsDigest:
    """Sums each tensor's bits on its own device, weighted by position, and hashes the sums with the names."""

    def __init__(self) -> None:
        self._lines: dict[str, str] = {}

    def add(self, name: str, tensor: Tensor) -> None:
        """Takes in a tensor of any dtype, on any device."""
        self._lines[name] = f"{name} {tensor.dtype} {tuple(tensor.shape)} {_checksum(tensor)}\n"

    def hex(self) -> str:
        """The digest of what was added."""
        return hashlib.sha256("".join(self._lines[name] for name in sorted(self._lines)).encode()).hexdigest()[:16]


def _checksum(tensor: Tensor) -> int:
    """Eight bytes at a time, in arithmetic modulo 2^64: every device computes the same."""
    import torch

    octets = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
    whole = len(octets) // 8 * 8
    words, total = octets[:whole].view(torch.int64), torch.zeros((), dtype=torch.int64, device=octets.device)
    for start in range(0, len(words), _CHUNK):
        part = words[start : start + _CHUNK]
        weights = torch.arange(1, 2 * len(part), 2, device=part.device)
        total = total * 31 + (part * weights).sum()
    for octet in octets[whole:].tolist():
        total = total * 31 + octet
    return int(total)
