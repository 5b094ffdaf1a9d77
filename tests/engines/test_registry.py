from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from adamms.engines import devices, registry
from adamms.engines.config import EngineConfig
from adamms.engines.engine import EngineSpec
from adamms.engines.transformers_engine import TransformersEngine
from adamms.errors import UserError
from tests.support import echo_engine
from tests.support.specs import tiny_spec


def test_auto_is_transformers_where_there_is_no_gpu(tiny: Callable[[str], Path]) -> None:
    spec = tiny_spec(tiny("qwen2-vl"), tiny("llava-onevision"), kind="auto", device="cpu")
    assert registry.engine_class(registry.fitting_kind(spec)) is TransformersEngine
    assert registry.build(spec).identity.kind == "transformers", "what was resolved, not what was asked for"


@pytest.mark.parametrize(("gpu", "advice"), [(False, "make setup"), (True, r"adamms\[vllm\]")])
def test_vllm_that_is_not_installed_is_said_with_what_to_do(
    tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, gpu: bool, advice: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    spec = tiny_spec(tiny("qwen2-vl"), tiny("llava-onevision"), kind="vllm")
    with pytest.raises(UserError, match=rf"engine.kind=vllm: .*{advice}.*engine.kind=transformers"):
        registry.fitting_kind(spec)


def test_an_unknown_kind_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(UserError, match=r"engine\.kind=sglang: unknown; known are auto, vllm, transformers"):
        EngineConfig(kind="sglang")


def test_auto_takes_the_first_that_is_installed_and_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = EngineSpec(echo_engine.EchoPlan("echo"), EngineConfig(device="cpu"))  # type: ignore[arg-type]
    monkeypatch.setattr(registry, "ENGINES", {"echo": echo_engine.WHERE})
    assert registry.fitting_kind(spec) == "echo"
    monkeypatch.setattr(echo_engine.EchoEngine, "unfit", staticmethod(lambda spec, device: f"not on {device}"))
    with pytest.raises(UserError, match=r"no engine fits \(echo: not on cpu\)"):
        registry.fitting_kind(spec)


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
