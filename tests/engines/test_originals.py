"""Where the original weights are kept, without a GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from adamms.checkpoint import open_checkpoint
from adamms.engines import originals
from adamms.merging.reader import Reader
from adamms.support import system


def test_what_the_container_has_no_room_for_is_read_from_the_files(
    tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pinned memory counts for the container, whatever else its machine has free."""
    for name, content in {"max": "1000000", "current": "900000", "stat": "inactive_file 0\nactive_file 0"}.items():
        (tmp_path / f"memory.{name}").write_text(content)
    monkeypatch.setattr(system, "CGROUP", tmp_path)
    monkeypatch.setattr(originals, "_free_on", lambda device: 0)
    checkpoint = open_checkpoint(str(tiny("qwen2-vl")))
    assert isinstance(originals.nearby(checkpoint, checkpoint.tensors, torch.device("cuda")), Reader)
