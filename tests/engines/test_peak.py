"""Peaks against what the process itself was made to hold."""

from __future__ import annotations

import pytest
import torch

from adamms.engines.peak import GB, NO_MEMORY, PeakMemory, take_peak

LARGE = 256 << 20


def test_a_peak_is_of_the_time_since_the_last_call() -> None:
    take_peak(torch.device("cpu"))
    before = take_peak(torch.device("cpu"))
    block = bytearray(b"x") * LARGE
    del block
    during, after = take_peak(torch.device("cpu")), take_peak(torch.device("cpu"))
    assert during.resident >= before.resident + 0.9 * LARGE
    assert after.resident <= during.resident - 0.9 * LARGE, "what is gone is not counted again"
    assert after.resident > 0
    assert during.gpu == 0


def test_on_a_gpu_it_is_what_torch_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """No GPU is needed to see that it is asked, and told to count anew."""
    allocated = {"cuda:1": 5 * GB}
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: allocated[str(device)])
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: allocated.update({str(device): GB}))
    assert [take_peak(torch.device("cuda:1")).gpu for _ in range(2)] == [5 * GB, GB]


def test_how_peaks_are_put_together() -> None:
    first, second = PeakMemory(3 * GB, 10 * GB), PeakMemory(4 * GB, 8 * GB)
    assert first | second == PeakMemory(4 * GB, 10 * GB)
    assert first.beside(second) == PeakMemory(7 * GB, 10 * GB)
    assert first | NO_MEMORY == first
    assert first.to_gb() == {"peak_memory_gb": 3, "peak_gpu_memory_gb": 10}
    assert PeakMemory(GB // 2).to_gb() == {"peak_memory_gb": 0.5}, "where there is no GPU nothing is said of one"
