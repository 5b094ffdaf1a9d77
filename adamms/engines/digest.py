"""A digest of live weights: equal for equal bits, wherever and in whatever order they are computed."""

import hashlib
from functools import lru_cache

import torch
from torch import Tensor

_SEGMENT = 1 << 15  # 64-bit words: small enough for a processor's cache
_MIXER = 0x9E3779B97F4A7C15  # SplitMix64's


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
    """The sum of a tensor's 64-bit words, each times a number that belongs to its position, modulo 2^64.

    The checksums of the parts of a tensor, however it is cut, add up to that of the whole.

    Args:
        values: elements from `start` on, 1-D.
    """
    octets, first = values.view(torch.uint8), start * values.element_size()
    before, after = first % 8, -(first + len(octets)) % 8
    if before or after or values.storage_offset() * values.element_size() % 8:
        octets = torch.nn.functional.pad(octets, (before, after))  # a word that is cut in two is the sum of both parts
    words, position = octets.view(torch.int64), first // 8
    total = torch.zeros((), dtype=torch.int64, device=values.device)
    lead = min(-position % _SEGMENT, len(words))
    whole = (len(words) - lead) // _SEGMENT * _SEGMENT
    for begin, end in ((0, lead), (lead, lead + whole), (lead + whole, len(words))):
        if begin < end:
            total += _weighted(words[begin:end], position + begin)
    return total


def _weighted(words: Tensor, position: int) -> Tensor:
    """Of part of a segment, or of whole segments: position `i` in segment `s` counts (2 i + 1) * _MIXER^(s + 1)."""
    segment, offset = divmod(position, _SEGMENT)
    rows = words.view(max(len(words) // _SEGMENT, 1), -1)
    odd = _odd_numbers(words.device)[offset : offset + rows.shape[1]]
    size = 1 << (segment + len(rows)).bit_length()
    # torch has no matrix-vector product of integers on a GPU; on a CPU it takes half the time and no memory
    sums = rows.mv(odd) if words.device.type == "cpu" else (rows * odd).sum(1)
    return (sums * _powers(size, words.device)[segment : segment + len(rows)]).sum()


@lru_cache(maxsize=8)
def _odd_numbers(device: torch.device) -> Tensor:
    return torch.arange(1, 2 * _SEGMENT, 2, device=device)


@lru_cache(maxsize=64)
def _powers(count: int, device: torch.device) -> Tensor:
    powers = (pow(_MIXER, segment + 1, 1 << 64) for segment in range(count))
    return torch.tensor([power - (1 << 64) if power >> 63 else power for power in powers], device=device)
