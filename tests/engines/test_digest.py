"""That a digest depends on every bit and its place, and not on how a tensor was cut."""

from __future__ import annotations

import itertools
import random

import pytest
import torch

from adamms.engines import digest
from adamms.engines.digest import WeightsDigest, checksum


def test_the_digest_does_not_depend_on_order_and_does_on_every_bit() -> None:
    def of(*pairs: tuple[str, torch.Tensor]) -> str:
        found = WeightsDigest()
        for name, tensor in pairs:
            found.add(name, tensor)
        return found.hex()

    a, b = torch.randn(7, 3).bfloat16(), torch.randn(5)
    assert of(("a", a), ("b", b)) == of(("b", b), ("a", a))
    assert of(("a", a)) != of(("b", a))
    for i in range(a.numel()):
        other = a.clone()
        other.view(torch.int16).view(-1)[i] ^= 1
        assert of(("a", other)) != of(("a", a))
    assert of(("a", a.flip(0))) != of(("a", a))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_parts_add_up_wherever_a_tensor_is_cut(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "_SEGMENT", 16)
    digest._odd_numbers.cache_clear()
    generator = random.Random(0)
    values = torch.randn(1003).to(dtype)
    whole = int(checksum(values))
    for _ in range(50):
        places = sorted({0, 1003, *generator.sample(range(1003), 6)})
        cuts = list(itertools.pairwise(places))
        generator.shuffle(cuts)
        parts = [checksum(values[a:b], a) for a, b in cuts]
        assert int(torch.stack(parts).sum()) == whole
        assert int(torch.stack([checksum(values[a:b].clone(), a) for a, b in cuts]).sum()) == whole
    swapped = values.clone()
    swapped[[3, 900]] = swapped[[900, 3]]
    assert int(checksum(swapped)) != whole
    digest._odd_numbers.cache_clear()


def test_it_is_the_sum_that_it_says() -> None:
    """Computed in Python's integers."""
    values = torch.randint(-(2**62), 2**62, (100000,))
    total = sum(
        word * (2 * (i % digest._SEGMENT) + 1) * digest._MIXER ** (i // digest._SEGMENT + 1)
        for i, word in enumerate(values.tolist())
    )
    assert int(checksum(values)) % 2**64 == total % 2**64
