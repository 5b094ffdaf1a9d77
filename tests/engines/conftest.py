"""Tiny models on disk, once a session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import trained_models as tiny_models

MAKERS = {
    "qwen2-vl": lambda folder: tiny_models.save_qwen2_vl(folder, seed=0),
    "qwen2-vl-2": lambda folder: tiny_models.save_qwen2_vl(folder, seed=6),
    "qwen2-vl-tied": lambda folder: tiny_models.save_qwen2_vl(folder, seed=4, tied=True),
    "qwen2-vl-tied-2": lambda folder: tiny_models.save_qwen2_vl(folder, seed=5, tied=True),
    "llava-onevision": lambda folder: tiny_models.save_llava_onevision(folder, seed=1),
    "llava": lambda folder: tiny_models.save_llava(folder, seed=2),
    "llava-2": lambda folder: tiny_models.save_llava(folder, seed=3),
}


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A model's folder by its name in `MAKERS`, written on first use."""
    root = tmp_path_factory.mktemp("tiny")

    def folder(name: str) -> Path:
        if not (root / name).exists():
            MAKERS[name](root / name)
        return root / name

    return folder
