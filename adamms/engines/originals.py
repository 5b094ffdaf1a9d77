"""The original weights that every move starts from, kept as near to the device as there is room."""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from adamms.checkpoint import Checkpoint
from adamms.checkpoint.checkpoint import total_bytes
from adamms.mapping.plan import MergePlan, TensorPlan, names_from
from adamms.mapping.rows import tensors_of
from adamms.mapping.stage import stage
from adamms.merging import Originals, TensorSource
from adamms.merging.reader import Reader
from adamms.support.system import free_host_memory

HEADROOM = 2 << 30  # GPU or host memory that is left to others
MOST = 0.9  # of a GPU's memory for an engine that has it alone


def share_beside_originals(total: int, needed: int, originals: int, moving: int) -> float:
    """The share of a GPU's memory that an engine is given: all that the originals leave, where both have room, so that
    moves do not cross the bus to the GPU; else nearly all of it, and the originals lie elsewhere.

    Args:
        total: bytes of the GPU.
        needed: bytes with which the engine answers a block of prompts at once.
        moving: bytes that a move takes beside the originals.
    """
    left = total - originals - moving - HEADROOM
    return min(left / total, MOST) if left >= needed else MOST


def nearby_originals(plan: MergePlan, tensors: Sequence[TensorPlan], device: torch.device) -> Originals:
    """The models of a plan, with what these of its tensors need kept on `device`."""
    pieces = [piece for tensor in tensors for piece in tensor.pieces]
    sources = [nearby(stage(plan.base), (tensor.name for tensor in tensors), device)]
    for number, donor in enumerate(plan.donors):
        sources.append(nearby(stage(donor), names_from(tensors, number), device))
    if plan.ancestor is not None:
        origins = (name for piece in pieces if piece.ancestor for name in tensors_of(piece.ancestor))
        sources.append(nearby(stage(plan.ancestor), origins, device))
    return Originals.of(plan, sources)


def nearby(checkpoint: Checkpoint, names: Iterable[str], device: torch.device) -> TensorSource:
    """A source of the named tensors on `device`.

    On a CPU they are read from the files, whose pages the system keeps as it sees fit. For a GPU the tensors are
    copied to it if they fit, else to pinned host memory, else read from the files each time.
    """
    if device.type == "cpu":
        return Reader(checkpoint)
    names = list(dict.fromkeys(names))
    needed = total_bytes(checkpoint.tensors[name] for name in names) + HEADROOM
    if needed <= _free_on(device):
        return HeldTensors(checkpoint, names, device, lambda tensor: tensor.to(device))
    if needed <= (free_host_memory() or 0):
        return HeldTensors(checkpoint, names, device, lambda tensor: tensor.pin_memory())
    return Reader(checkpoint, str(device))


class HeldTensors:
    """Holds some tensors, reads the others from the checkpoint; gives all of them on the device."""

    def __init__(
        self, checkpoint: Checkpoint, names: Iterable[str], device: torch.device, place: Callable[[Tensor], Tensor]
    ) -> None:
        self._checkpoint, self._device = checkpoint, device
        self._tensors = {name: place(checkpoint.read(name)) for name in names}

    def read(self, name: str, start: int = 0, stop: int | None = None) -> Tensor:
        held = self._tensors.get(name)
        values = self._checkpoint.read(name, start, stop) if held is None else held[start:stop]
        return values.to(self._device, non_blocking=True)  # what is held in pinned memory never changes


def _free_on(device: torch.device) -> int:
    return int(torch.cuda.mem_get_info(device)[0])
