"""Groups of language-model weights that may have an alpha of their own: attention, mlp, layers:A-B."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from adamms.errors import UserError
from adamms.mapping.plan import TensorPlan

_ROLES = {"attention": "self_attn.", "mlp": "mlp."}
_LAYERS = re.compile(r"layers:(\d+)-(\d+)")
_LAYER_IN_NAME = re.compile(r"(?:^|\.)layers\.(\d+)\.")


def is_group(name: str) -> bool:
    """Whether a name is one of a group."""
    return name in _ROLES or _LAYERS.fullmatch(name) is not None


def belongs(tensor: TensorPlan, group: str) -> bool:
    """Whether a tensor of the language model is in a group; layers are counted from 0, both ends included."""
    span = _LAYERS.fullmatch(group)
    if span is None:
        return tensor.role.startswith(_ROLES[group])
    layer = layer_of(tensor)
    return layer is not None and int(span[1]) <= layer <= int(span[2])


def layer_of(tensor: TensorPlan) -> int | None:
    """The layer that a merged tensor is in; None for embeddings, the head, and what does not merge."""
    names = (piece.donor for piece in tensor.pieces)
    found = next((match for name in names if (match := _LAYER_IN_NAME.search(name))), None)
    return int(found[1]) if found else None


def named_groups(names: Iterable[str], tensors: Sequence[TensorPlan]) -> list[str]:
    """Groups by the names that people give them: `early` and `late` are the first and the second half of the layers.

    Raises:
        UserError: a name is none, or no weight is in the group.
    """
    count = max((layer for tensor in tensors if (layer := layer_of(tensor)) is not None), default=-1) + 1
    halves = {"early": f"layers:0-{count // 2 - 1}", "late": f"layers:{count // 2}-{count - 1}"} if count > 1 else {}
    found = [halves.get(name, name) for name in names]
    for name, group in zip(names, found, strict=True):
        if not is_group(group) or not any(belongs(tensor, group) for tensor in tensors):
            raise UserError(
                f"groups: {name!r} is no group of merged weights; there are attention, mlp, early, late, and "
                f"layers:FIRST-LAST up to {count - 1}"
            )
    return found
