"""A dry run of a merge: it says what would be read, needed and written, and writes nothing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from adamms.checkpoint import open_checkpoint
from adamms.commands.merge import merge, rehearse
from adamms.errors import UserError
from adamms.merging import to_disk
from adamms.merging.config import MergeSettings, MergingConfig
from adamms.support.ray_session import RayConfig
from tests.support.tiny_models import TinyPair


def settings(pair: TinyPair, ray: RayConfig | None = None, **merging: Any) -> MergeSettings:
    return MergeSettings(
        base=str(pair.base), donor=str(pair.donor), merging=MergingConfig(**merging), ray=ray or RayConfig()
    )


def said(given: MergeSettings, alpha: float | None, output: Path) -> str:
    return "\n".join(f"{title} {text}".strip() for title, text in rehearse(given, alpha, output))


def tensor_bytes(folder: Path) -> int:
    return sum(info.nbytes for info in open_checkpoint(str(folder)).tensors.values())


def test_a_dry_run_says_what_the_merge_then_does(tiny_pair: TinyPair, tmp_path: Path) -> None:
    given, output = settings(tiny_pair, workers=3), tmp_path / "new" / "merged"
    text = said(given, 0.3, output)
    for part in (
        f"reads base {tiny_pair.base} ({tensor_bytes(tiny_pair.base) / 1e6:.1f} MB)",
        f"reads donor {tiny_pair.donor} ({tensor_bytes(tiny_pair.donor) / 1e6:.1f} MB)",
        "; linear, alpha 0.3",
        "works on 3 CPUs (threads)",
        "memory 0.4 GB, whatever the models' size",
        f"writes {output}: 1 checkpoint, {tensor_bytes(tiny_pair.base) / 1e6:.1f} MB",
        "nothing was started, and nothing written",
    ):
        assert part in text, part
    assert "trouble" not in text
    assert list(tmp_path.iterdir()) == []
    merge(given, 0.3, output)
    written = sum(info.nbytes for info in open_checkpoint(str(output)).tensors.values())
    assert written == tensor_bytes(tiny_pair.base)
    assert f"trouble {output}: already exists" in said(given, 0.3, output)


def test_what_a_method_reads_and_where_it_works(tiny_pair: TinyPair, tmp_path: Path) -> None:
    text = said(settings(tiny_pair, ray=RayConfig(address="ray://nowhere"), method="slerp"), 0.3, tmp_path / "out")
    assert "; slerp, alpha 0.3" in text
    assert "all weights are read 1 more time before, for statistics" in text
    assert "works on 1 CPU (Ray tasks, each)" in text


def test_a_small_disk_is_told_of(tiny_pair: TinyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the merge itself would refuse it: the weights are not all that is written."""
    given, weights = settings(tiny_pair), tensor_bytes(tiny_pair.base)
    usage = shutil.disk_usage(tmp_path)._replace(free=weights + 1000)
    monkeypatch.setattr(to_disk.shutil, "disk_usage", lambda place: usage)
    free = f"{(weights + 1000) / 1e6:.1f} MB"
    assert f"MB are needed, only {free} are free there" in said(given, 0.3, tmp_path / "out")
    with pytest.raises(UserError, match=f"MB are needed, {free} are free; make room"):
        merge(given, 0.3, tmp_path / "out")


def test_what_stops_it_at_once(tiny_pair: TinyPair, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs --alpha"):
        said(settings(tiny_pair), None, tmp_path / "out")
    with pytest.raises(UserError, match="ancestor"):
        said(settings(tiny_pair, method="ties"), 0.3, tmp_path / "out")
