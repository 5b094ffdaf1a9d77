"""Random numbers that depend on the element, not on the order in which elements are visited.

SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) as a counter-based generator: the number depends on the seed, the
tensor's name, which model it is for, and the element's index. Chunks, threads, tasks and devices change nothing.
"""

import hashlib

from adamms.support.tensor import Tensor

BITS = 24  # as many as a float32 can hold exactly


def random_bits(like: Tensor, seed: int, model: str, name: str, start: int) -> Tensor:
    """Integers uniform in [0, 2**24) for elements `start`, `start + 1`, ... of tensor `name`; int64."""
    import torch

    key = hashlib.blake2b(f"{seed}/{model}/{name}".encode(), digest_size=8).digest()
    z = torch.arange(start + 1, start + 1 + len(like), dtype=torch.int64, device=like.device)
    z.mul_(_signed(0x9E3779B97F4A7C15)).add_(_signed(int.from_bytes(key, "little")))
    z.bitwise_xor_(_shift(z, 30)).mul_(_signed(0xBF58476D1CE4E5B9))
    z.bitwise_xor_(_shift(z, 27)).mul_(_signed(0x94D049BB133111EB))
    z.bitwise_xor_(_shift(z, 31))
    return _shift(z, 64 - BITS)


def _shift(z: Tensor, bits: int) -> Tensor:
    """Shifts to the right and fills with zeros, where torch's own shift fills with the sign."""
    return (z >> bits).bitwise_and_((1 << 64 - bits) - 1)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
