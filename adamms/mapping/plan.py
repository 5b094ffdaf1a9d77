"""The merge plan: plain data that says, for every base tensor, what is merged into it or why it is kept.

It is printed (`adamms map`), hashed (the fingerprint of a run), sent to Ray tasks, logged to MLflow, and executed by
the same function on disk and inside a live engine.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, field
from functools import cached_property
from math import prod
from typing import Any

from adamms.checkpoint import DTYPES
from adamms.mapping.rows import Turned, row_length, rows_of


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows `start` to `stop` of a base tensor, and the rows of a donor tensor that merge into them.

    As many rows, from `donor_start` on; likewise of an ancestor's tensor, for methods on task vectors. A row runs along
    the last dimension: stacked experts [experts, out, in] have experts * out of them.
    """

    start: int
    stop: int
    donor: str | Turned
    donor_start: int
    ancestor: str | Turned | None = None
    ancestor_start: int = 0


@dataclass(frozen=True, slots=True)
class TensorPlan:
    """One base tensor: `pieces` merge, rows without a piece stay the base's, for `reason`.

    Attributes:
        dtype: safetensors name; the output's too.
        role: what the tensor is, in canonical terms ('self_attn.q_proj.weight') or outside them ('vision').
        expert: which duplicate of a duplicated weight it is ('vision', 'text'); '' where there is one weight.
        outside: it is no part of the language model.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    role: str
    pieces: tuple[Piece, ...] = ()
    reason: str = ""
    expert: str = ""
    outside: bool = False

    @property
    def merges(self) -> bool:
        return bool(self.pieces)

    @property
    def rows(self) -> int:
        return rows_of(self.shape)

    @property
    def row(self) -> int:
        """Elements of a row."""
        return row_length(self.shape)

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * DTYPES[self.dtype]


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which model a plan was made from; `digest` identifies it on any machine.

    Attributes:
        full: whether every byte of its weights counts in the digest.
    """

    location: str
    architecture: str
    layout: str
    digest: str
    full: bool = False


@dataclass(frozen=True)
class MergePlan:
    """What happens to every tensor of the base, exactly once each, in the order of its files.

    Attributes:
        unused: donor tensors that nothing was merged from, with the reason.
        notes: sentences for the user about how the plan was made.
        warnings: what is wrong with the result, to be said wherever it is shown.
    """

    base: ModelIdentity
    donor: ModelIdentity
    ancestor: ModelIdentity | None
    tensors: tuple[TensorPlan, ...]
    unused: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def merged(self) -> tuple[TensorPlan, ...]:
        """The tensors that at least one piece merges into."""
        return tuple(tensor for tensor in self.tensors if tensor.merges)

    @property
    def merged_share(self) -> float:
        """Share of the language model's parameters that merge, 0 to 1."""
        total = sum(prod(tensor.shape) for tensor in self.tensors if not tensor.outside)
        merged = sum((p.stop - p.start) * t.row for t in self.tensors for p in t.pieces)
        return merged / max(total, 1)

    @property
    def summary(self) -> str:
        """How much merges, as a phrase."""
        share = f"{self.merged_share:.1%} of the language model's parameters"
        return f"{len(self.merged)} of {len(self.tensors)} tensors merge ({share})"

    @property
    def bytes(self) -> int:
        """Size of all base tensors, and so of the output's."""
        return sum(tensor.nbytes for tensor in self.tensors)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of what the plan does to which models; their locations and the reasons do not count."""
        models = [model.digest if model else None for model in (self.base, self.donor, self.ancestor)]
        tensors = [(t.name, t.dtype, t.shape, [astuple(piece) for piece in t.pieces]) for t in self.tensors]
        return hashlib.sha256(json.dumps([models, tensors]).encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON-compatible data, which loses nothing."""
        return {**asdict(self), "fingerprint": self.fingerprint}
