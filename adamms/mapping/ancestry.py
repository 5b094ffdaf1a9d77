"""Whether two language models grew from one ancestor, or one from the other: sampled weights, compared by cosine.

Fine-tuning moves weights little: cosines of corresponding matrices stay near 1. Models trained apart have
cosines near 0, however alike their configs are, and averaging them destroys both.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import isfinite, prod
from statistics import median
from typing import NamedTuple

from adamms.checkpoint import Checkpoint
from adamms.errors import UserError
from adamms.mapping.language_model import EMBEDDINGS
from adamms.mapping.plan import MergePlan, Piece, TensorPlan
from adamms.mapping.rows import Turned, read_elements

SAMPLED = ("q_proj.weight", "o_proj.weight", "gate_proj.weight", "down_proj.weight")  # norms are alike in all models
KINDS = 4  # of matrices that are sampled in a model that has none of these
SAMPLE_ELEMENTS = 1 << 16
EXPERTS, EXPERT_ELEMENTS = 8, 1 << 12  # of each mixture that is sampled
RELATED, DOUBTFUL = 0.5, 0.9
ROUTER = re.compile(r"\b(gate|router)\b")
EXPERT = re.compile(r"(.*\bexperts)\.(\d+)\.(.*)")


class _Words(NamedTuple):
    """How it is told what another model is to the base."""

    head: str
    related: str
    unrelated: str
    alike: str
    mend: str


_WORDS = {
    "donor": _Words(
        head="ancestry",
        related="shares an ancestor with",
        unrelated="does not share an ancestor with",
        alike="fine-tunes of one language model",
        mend="choose another donor",
    ),
    "ancestor": _Words(
        head="ancestor",
        related="is the ancestor of",
        unrelated="is not the ancestor of",
        alike="a fine-tune and what it grew from",
        mend="name the language model that all models grew from with --ancestor (or `ancestor` in the config)",
    ),
}


@dataclass(frozen=True, slots=True)
class Ancestry:
    """The cosine of each sampled tensor, by its name in the base; tensors that are zero or not finite are left out.

    Attributes:
        experts: of samples of experts and of their rows in the router: fine in the median, they may be permuted.
    """

    cosines: dict[str, float]
    experts: dict[str, float] = field(default_factory=dict)

    @property
    def cosine(self) -> float | None:
        """The median; None where nothing could be compared."""
        return median(self.cosines.values()) if self.cosines else None

    @property
    def related(self) -> bool:
        return self.cosine is not None and self.cosine >= RELATED

    @property
    def misplaced(self) -> list[str]:
        """Experts that are not those of the same number in the other model."""
        return [name for name, cosine in self.experts.items() if cosine < RELATED]

    def __str__(self) -> str:
        if self.cosine is None:
            return "nothing could be compared"
        doubt = "" if self.cosine >= DOUBTFUL else ", low for fine-tunes of one model"
        experts = f" and {len(self.experts)} samples of experts" if self.experts else ""
        return f"cosine {self.cosine:.3f} over {len(self.cosines)} sampled tensors{experts}{doubt}"


def compare_ancestry(plan: MergePlan, base: Checkpoint, other: Checkpoint, title: str = "donor") -> Ancestry:
    """Reads samples of the matrices that a plan of one donor would merge, from the first, middle and last of its
    layers.

    Args:
        other: the plan's donor, or its ancestor.
        title: which of them: 'donor' or 'ancestor'.
    """
    import torch

    def cosine(sample: _Sample) -> float:
        ours = base.read(sample.tensor.name, sample.start, sample.start + sample.length)
        name, start = _counterpart(sample.piece, title)
        first = sample.start + (start - sample.piece.start) * sample.tensor.row
        theirs = read_elements(other.read, name, first, first + sample.length)
        return float(torch.cosine_similarity(ours.double(), theirs.double(), dim=0, eps=0))

    def cosines(samples: Iterable[_Sample]) -> dict[str, float]:
        found = {sample.name: cosine(sample) for sample in samples}
        return {name: value for name, value in found.items() if isfinite(value)}

    return Ancestry(cosines(_samples(plan.merged)), cosines(_expert_samples(plan.merged)))


def _counterpart(piece: Piece, title: str) -> tuple[str | Turned, int]:
    """The tensor of the donor, or of the ancestor, that a piece's rows correspond to, and where they begin there."""
    if title == "ancestor":
        assert piece.ancestor is not None
        return piece.ancestor, piece.ancestor_start
    (source,) = piece.sources
    return source.tensor, source.start


def check_ancestry(plan: MergePlan, base: Checkpoint, other: Checkpoint, mode: str, title: str = "donor") -> str:
    """Compares two language models, as `compare_ancestry` does; returns a sentence for the plan's notes.

    Args:
        mode: `off`, `warn` (unrelated models are only noted) or `error`.

    Raises:
        UserError: the models are unrelated, or nothing of them could be compared, and `mode` is `error`.
    """
    if mode == "off":
        return "ancestry: not checked (mapping.ancestry_check=off)"
    found, words = compare_ancestry(plan, base, other, title), _WORDS[title]
    if found.related and not found.misplaced:
        return f"{words.head}: {found}"
    if found.cosine is None:
        verdict = (
            f"whether {other.location} {words.related} {base.location} cannot be told: nothing could be "
            "compared (the sampled weights are zero, NaN or infinite)"
        )
    elif found.misplaced:
        first = found.misplaced[0]
        verdict = (
            f"{other.location} has its experts in another order than {base.location}: the cosine of {first} is "
            f"{found.experts[first]:.3f}, of the sampled weights in general {found.cosine:.3f}"
        )
    else:
        verdict = (
            f"{other.location} {words.unrelated} {base.location}: the cosine of their sampled weights is "
            f"{found.cosine:.3f}, for {words.alike} it is near 1"
        )
    if mode == "error":
        raise UserError(f"{verdict}; {words.mend}, or set mapping.ancestry_check=warn to merge anyway")
    return f"{words.head}: {verdict}"


@dataclass(frozen=True, slots=True)
class _Sample:
    """`length` elements of a base tensor from `start` on, which lie in one piece of it."""

    name: str
    tensor: TensorPlan
    piece: Piece
    start: int
    length: int

    @classmethod
    def of(cls, tensor: TensorPlan, row: int, rows: int, most: int, name: str = "") -> Iterator[_Sample]:
        """At most so many elements of these rows, if they merge."""
        piece = next((p for p in tensor.pieces if p.start <= row < p.stop), None)
        if piece is not None:
            length = min(most, (min(piece.stop, row + rows) - row) * tensor.row)
            yield cls(name or tensor.name, tensor, piece, row * tensor.row, length)


def _samples(tensors: Sequence[TensorPlan]) -> Iterator[_Sample]:
    """A few matrices, without experts for vision, which training moves further from the ancestor than the rest."""
    matrices = [t for t in tensors if len(t.shape) > 1 and t.expert != "vision" and t.role not in EMBEDDINGS]
    kinds = [kind for kind in SAMPLED if any(kind in t.role for t in matrices)]
    if not kinds:
        sizes = Counter({t.role: prod(t.shape) for t in matrices})
        kinds = [role for role, _ in sizes.most_common(KINDS)]
    for kind in kinds:
        found = [t for t in matrices if kind in t.role]
        for i in sorted({0, len(found) // 2, len(found) - 1}):
            yield from _Sample.of(found[i], found[i].pieces[0].start, found[i].rows, SAMPLE_ELEMENTS)


def _expert_samples(tensors: Sequence[TensorPlan]) -> Iterator[_Sample]:
    """Of the first, middle and last mixture of experts: some experts, and every expert's row of the router."""
    mixtures = _mixtures(tensors)
    places = list(mixtures)
    for place in [places[i] for i in sorted({0, len(places) // 2, len(places) - 1})] if places else ():
        experts = mixtures[place]
        count = max(experts) + 1
        for i in sorted({count * j // EXPERTS for j in range(EXPERTS)}):
            tensor, row, rows = experts.get(i, experts[min(experts)])
            yield from _Sample.of(tensor, row, rows, EXPERT_ELEMENTS, f"expert {i} in {place!r}")
        parent = place.rpartition(".")[0]
        for router in (t for t in tensors if t.name.startswith(f"{parent}.") and ROUTER.search(t.role)):
            for i in range(count if len(router.shape) > 1 and router.rows == count else 0):
                yield from _Sample.of(router, i, 1, EXPERT_ELEMENTS, f"the router's row {i} in {router.name!r}")


def _mixtures(tensors: Sequence[TensorPlan]) -> dict[str, dict[int, tuple[TensorPlan, int, int]]]:
    """By the name of a mixture of experts: for each expert a tensor, and which of its rows are the expert's."""
    found: dict[str, dict[int, tuple[TensorPlan, int, int]]] = {}
    for tensor in tensors:
        single = EXPERT.fullmatch(tensor.name)
        if single and len(tensor.shape) > 1:
            found.setdefault(single[1], {}).setdefault(int(single[2]), (tensor, 0, tensor.rows))
        elif re.search(r"\bexperts\b", tensor.name) and len(tensor.shape) == 3:
            place, rows = re.split(r"(?<=\bexperts)\b", tensor.name)[0], tensor.shape[1]
            for i in range(tensor.shape[0]):
                found.setdefault(place, {}).setdefault(i, (tensor, i * rows, rows))
    return found
