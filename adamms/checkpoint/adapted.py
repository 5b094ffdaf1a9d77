"""A model with an adapter: its update is added to each tensor, or the part of one, while that is read."""

import hashlib
from dataclasses import replace
from functools import cached_property, lru_cache
from math import prod

from adamms.checkpoint.checkpoint import Checkpoint
from adamms.checkpoint.lora import Update, updates_of
from adamms.checkpoint.tensor_info import TensorInfo
from adamms.support.tensor import Tensor

ROWS = 64  # of B @ A that are computed at once
HELD = 8  # factors that are kept in memory: of the tensors that this process' threads are reading


class AdaptedCheckpoint(Checkpoint):
    """Gives the tensors that PEFT's `merge_and_unload()` would save: the sum is computed in float32 (float64 for
    float64 weights) and rounded to the model's dtype.

    Everything else (files, config, tokenizer, shapes, dtypes) is the model's. Tensors that the adapter changes have no
    `offset`, since no file holds them.
    """

    def __init__(self, model: Checkpoint, adapter: Checkpoint, location: str) -> None:
        """Raises UserError where the adapter cannot be added to this model."""
        self.folder, self.full, self.files, self.config = model.folder, model.full, model.files, model.config
        self.location, self.model, self.adapter = location, model, adapter
        self._updates = updates_of(adapter, model)
        added = f"added to {len(self._updates)} of {len(model.tensors)} tensors of {model.location}"
        named = adapter.config.get("base_model_name_or_path")
        self.notes = (*model.notes, f"{adapter.location}: a LoRA adapter (of {named}), {added}")

    @cached_property
    def tensors(self) -> dict[str, TensorInfo]:
        changed = self._updates
        return {n: replace(t, offset=None) if n in changed else t for n, t in self.model.tensors.items()}

    @cached_property
    def digest(self) -> str:
        """Of the model's digest and the adapter's."""
        return hashlib.sha256(f"{self.model.digest}+{self.adapter.digest}".encode()).hexdigest()[:32]

    @property
    def parts(self) -> tuple[Checkpoint, ...]:
        return (*self.model.parts, self.adapter)

    @property
    def changed(self) -> frozenset[str]:
        return self.model.changed | self._updates.keys()

    def read(self, name: str, start: int = 0, stop: int | None = None) -> Tensor:
        update = self._updates.get(name)
        if update is None:
            return self.model.read(name, start, stop)
        info = self.tensors[name]
        stop = info.elements if stop is None else stop
        if update.replacement:
            values = self.adapter.read(update.replacement, start, stop)
        else:
            values = self.model.read(name, start, stop)
        return self._rounded(values, info, update, start)

    def _rounded(self, values: Tensor, info: TensorInfo, update: Update, start: int) -> Tensor:
        """Elements from `start` on of a tensor or its replacement, with B @ A added, in the tensor's dtype.

        B @ A is computed in blocks of rows that lie in the same places however the tensor is cut, since a product of
        another shape may differ in its last bits.
        """
        import torch

        from adamms.checkpoint.dtypes import TORCH_DTYPES

        values = values.to(TORCH_DTYPES[info.dtype])
        if not update.a:
            return values
        left, right = _factors(self.adapter, update)
        wide, result = torch.promote_types(values.dtype, torch.float32), torch.empty_like(values)
        row, stop = max(prod(info.shape[1:]), 1), start + len(values)
        for first in range(start // row // ROWS * ROWS, -(-stop // row), ROWS):
            added = (left[first : first + ROWS] @ right).mul_(update.scaling).view(-1)
            added = added.to(values.dtype) if update.rounded else added
            begin, end = max(start, first * row), min(stop, first * row + len(added))
            part = slice(begin - start, end - start)
            result[part] = values[part].to(wide) + added[begin - first * row : end - first * row]
        return result


@lru_cache(maxsize=HELD)
def _factors(adapter: Checkpoint, update: Update) -> tuple[Tensor, Tensor]:
    """The two factors [rows, rank] and [rank, columns] in float32, of which the product is added to the tensor."""

    def matrix(name: str) -> Tensor:
        return adapter.read(name).float().view(adapter.tensors[name].shape[0], -1)

    a, b = matrix(update.a), matrix(update.b)
    return (a.T.contiguous(), b.T.contiguous()) if update.turned else (b, a)
