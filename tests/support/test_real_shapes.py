"""That pairs of real shapes can be planned and merged. Only headers are written where sizes are real."""

from __future__ import annotations

import json
import os
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from adamms.checkpoint import open_checkpoint
from adamms.mapping import plan_merge
from adamms.mapping.ancestry import compare_ancestry
from adamms.mapping.config import MappingConfig
from tests.support import real_shapes
from tests.support.checkpoints import read_all
from tests.support.real_shapes import SIZES, write_real_pair

PARAMETERS = {  # millions: of the base, and how much of it merges
    "0.5b": (1156, 494), "2b": (2209, 1544), "7b": (8291, 7616), "34b": (40069, 34389), "cogvlm-7b": (17640, 13214),
}  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
def test_published_shapes_merge(size: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real_shapes, "_values", lambda *_: iter(()))
    folders = write_real_pair(tmp_path, size)
    for file in (file for folder in folders for file in folder.glob("*.safetensors")):
        _lengthen(file)
    base, donor = (open_checkpoint(str(folder)) for folder in folders)
    plan = plan_merge(base, donor, MappingConfig(ancestry_check="off"))
    whole = sum(info.elements for info in base.tensors.values()) / 1e6
    merged = sum((piece.stop - piece.start) * _row(tensor.shape) for tensor in plan.merged for piece in tensor.pieces)
    assert (round(whole), round(merged / 1e6)) == PARAMETERS[size]
    assert all(sum(info.nbytes for info in base.tensors.values() if info.path == path) <= SIZES[size].shard
               for path in base.weight_files)  # fmt: skip


def test_a_pair_has_one_ancestor_and_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small one of the same kind, in several shards."""
    from transformers import AutoModelForImageTextToText

    small = replace(SIZES["0.5b"], hidden=64, layers=2, heads=4, kv_heads=2, intermediate=96, vocabulary=(300, 310))
    monkeypatch.setitem(SIZES, "small", replace(small, shard=10**9))
    base, donor = (open_checkpoint(str(folder)) for folder in write_real_pair(tmp_path, "small", noise=0.1))
    assert len(base.weight_files) == 2
    plan = plan_merge(base, donor, MappingConfig())
    assert 0.99 < (compare_ancestry(plan, base, donor).cosine or 0) < 0.999
    ours, theirs = read_all(base), read_all(donor)
    for tensor in plan.merged:
        (piece,) = tensor.pieces
        a, b = ours[tensor.name][: piece.stop].float(), theirs[piece.sources[0].tensor][: piece.stop].float()
        assert 0 < (a - b).std() < 0.2 * max(a.std(), torch.tensor(0.02)), tensor.name
    tower = "visual.blocks.3.mlp.fc1.weight"
    assert ours[tower].float().std() == pytest.approx(real_shapes.SPREAD, rel=0.01)
    model = AutoModelForImageTextToText.from_pretrained(base.folder, dtype=torch.bfloat16)
    assert model.state_dict()["model.visual.blocks.3.mlp.fc1.weight"].equal(ours[tower])


def _row(shape: tuple[int, ...]) -> int:
    return 1 if len(shape) < 2 else shape[1]


def _lengthen(path: Path) -> None:
    """A file of nothing but a header becomes as long as that says; the rest takes no room on the disk."""
    length = struct.unpack("<Q", path.read_bytes()[:8])[0]
    header = json.loads(path.read_bytes()[8 : 8 + length])
    header.pop("__metadata__")
    os.truncate(path, 8 + length + max(entry["data_offsets"][1] for entry in header.values()))
