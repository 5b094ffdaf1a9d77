"""The merge plan: plain data that says, for every base tensor, what is merged into it or why it is kept.

It is printed (`adamms map`), hashed (the fingerprint of a run), sent to Ray tasks, logged to MLflow, and executed by
the same function on disk and inside a live engine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from functools import cached_property
from math import prod
from typing import Any, TypeVar

from adamms.checkpoint import DTYPES
from adamms.mapping.rows import Turned, row_length, rows_of, tensors_of

Origin = tuple[tuple[int, str | Turned], ...]
"""Which tensors of which donors rows come from."""


@dataclass(frozen=True, slots=True)
class Source:
    """Rows of a donor's tensor, from `start` on.

    Attributes:
        donor: which of the plan's donors.
    """

    tensor: str | Turned
    start: int
    donor: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows `start` to `stop` of a base tensor, and what merges into them.

    As many rows of each source, and of an ancestor's tensor, for methods on task vectors. A row runs along the last
    dimension: stacked experts [experts, out, in] have experts * out of them.

    Attributes:
        sources: at most one a donor, in an order that does not depend on the one in which donors were named.
    """

    start: int
    stop: int
    sources: tuple[Source, ...]
    ancestor: str | Turned | None = None
    ancestor_start: int = 0

    @property
    def origin(self) -> Origin:
        """Which tensors of which donors it comes from."""
        return tuple((source.donor, source.tensor) for source in self.sources)

    def continued_by(self, following: Piece) -> bool:
        """Whether the next rows of all tensors are the following piece's."""
        length = self.stop - self.start
        return (
            following.start == self.stop
            and following.sources == tuple(replace(one, start=one.start + length) for one in self.sources)
            and following.ancestor == self.ancestor
            and (self.ancestor is None or following.ancestor_start == self.ancestor_start + length)
        )


def joined(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    """Adjacent pieces that continue one another, as one."""
    found: list[Piece] = []
    for piece in pieces:
        if found and found[-1].continued_by(piece):
            found[-1] = replace(found[-1], stop=piece.stop)
        else:
            found.append(piece)
    return tuple(found)


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
        donors: as they were named.
        unused: for each donor, its tensors that nothing was merged from, with the reason.
        notes: sentences for the user about how the plan was made.
        warnings: what is wrong with the result, to be said wherever it is shown.
    """

    base: ModelIdentity
    donors: tuple[ModelIdentity, ...]
    ancestor: ModelIdentity | None
    tensors: tuple[TensorPlan, ...]
    unused: tuple[Mapping[str, str], ...] = ()
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
        donors = [donor.digest for donor in self.donors]
        ancestor = self.ancestor.digest if self.ancestor else None
        models = [self.base.digest, donors[0] if len(donors) == 1 else donors, ancestor]
        tensors = [(t.name, t.dtype, t.shape, [self._parts(piece) for piece in t.pieces]) for t in self.tensors]
        return hashlib.sha256(json.dumps([models, tensors]).encode()).hexdigest()[:16]

    def _parts(self, piece: Piece) -> tuple[Any, ...]:
        """Of a plan of one donor as they were before there could be several: it identifies stored answers."""
        if len(self.donors) > 1:
            return astuple(piece)
        ((tensor, start, _),) = (astuple(source) for source in piece.sources)
        return (piece.start, piece.stop, tensor, start, *astuple(piece)[3:])

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON-compatible data, which loses nothing; of one donor, `donor` and each piece's `donor` and
        `donor_start` stand for `donors` and `sources`."""
        found = asdict(self)
        if len(self.donors) == 1:
            found = {("donor" if name == "donors" else name): value for name, value in found.items()}
            found["donor"], found["unused"] = found["donor"][0], dict(*self.unused)
            for tensor in found["tensors"]:
                tensor["pieces"] = tuple(map(_of_one_donor, tensor["pieces"]))
        return {**found, "fingerprint": self.fingerprint}


Model = TypeVar("Model")


def titled(base: Model, donors: Sequence[Model], ancestor: Model | None) -> list[tuple[str, Model]]:
    """The models of a merge, each with what it is; donors are numbered where there are several."""
    numbered = [("donor" if len(donors) == 1 else f"donor {i}", one) for i, one in enumerate(donors, 1)]
    return [("base", base), *numbered, *([("ancestor", ancestor)] if ancestor is not None else [])]


def names_from(tensors: Iterable[TensorPlan], donor: int) -> dict[str, None]:
    """The tensors of one of the donors that merge into these, each once."""
    sources = (source for tensor in tensors for piece in tensor.pieces for source in piece.sources)
    return dict.fromkeys(name for source in sources if source.donor == donor for name in tensors_of(source.tensor))


def _of_one_donor(piece: dict[str, Any]) -> dict[str, Any]:
    start, stop, (source,), *ancestor = piece.values()
    names = ("start", "stop", "donor", "donor_start", "ancestor", "ancestor_start")
    return dict(zip(names, (start, stop, source["tensor"], source["start"], *ancestor), strict=True))
