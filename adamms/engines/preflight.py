"""Refusing an engine that does not fit, before anything is loaded."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from adamms.checkpoint import open_checkpoint
from adamms.engines.config import EngineConfig
from adamms.engines.kinds import AUTO
from adamms.engines.memory import check_memory, free_host_memory
from adamms.engines.registry import engine_class
from adamms.mapping.plan import MergePlan

if TYPE_CHECKING:
    import torch

    from adamms.engines.engine import EngineSpec

log = logging.getLogger(__name__)


def preflight(plan: MergePlan, config: EngineConfig, free: Iterable[int], device: str = "cuda") -> str | None:
    """Checks an engine against the smallest of the places that it may get; None without one.

    Args:
        free: bytes of each GPU or machine.
        device: which of these they are: 'cuda' or 'cpu'.

    Raises:
        UserError: it does not fit.
    """
    smallest = min(free, default=None)
    if smallest is None:
        return None
    likely = "vllm" if device == "cuda" else "transformers"  # what `auto` is known for sure only where it runs
    kind = likely if config.kind == AUTO else config.kind
    base, donor = open_checkpoint(plan.base.location), open_checkpoint(plan.donor.location)
    need = engine_class(kind).memory(plan, base, donor, config, device)
    return check_memory(need, smallest, config, device)


def check_before_loading(kind: str, spec: EngineSpec, device: torch.device) -> None:
    """The same, in the process that is about to load the models onto its device; the log says what they will take.

    Raises:
        UserError: they do not fit.
    """
    import torch

    on_gpu = device.type == "cuda"
    free = torch.cuda.get_device_properties(device).total_memory if on_gpu else free_host_memory()
    if free is not None:
        log.info(preflight(spec.plan, replace(spec.config, kind=kind), [free], device.type))
