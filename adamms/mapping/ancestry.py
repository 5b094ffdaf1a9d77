"""Whether two language models grew from one ancestor: sampled weights of the two, compared by cosine.

Fine-tuning moves weights little: cosines of corresponding matrices stay near 1. Models trained apart have
cosines near 0, however alike their configs are, and averaging them destroys both.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite, prod
from statistics import median

from adamms.checkpoint import Checkpoint
from adamms.errors import UserError
from adamms.mapping.plan import MergePlan, Piece, TensorPlan

SAMPLED = ("q_proj.weight", "o_proj.weight", "gate_proj.weight", "down_proj.weight")  # norms are alike in all models
SAMPLE_ELEMENTS = 1 << 16
RELATED, DOUBTFUL = 0.5, 0.9


@dataclass(frozen=True, slots=True)
class Ancestry:
    """The cosine of each sampled tensor, by its name in the base; tensors that are zero or not finite are left out."""

    cosines: dict[str, float]

    @property
    def cosine(self) -> float | None:
        """The median; None where nothing could be compared."""
        return median(self.cosines.values()) if self.cosines else None

    @property
    def related(self) -> bool:
        return self.cosine is None or self.cosine >= RELATED

    def __str__(self) -> str:
        if self.cosine is None:
            return "ancestry: nothing could be compared"
        doubt = "" if self.cosine >= DOUBTFUL else ", low for fine-tunes of one model"
        return f"ancestry: cosine {self.cosine:.3f} over {len(self.cosines)} sampled tensors{doubt}"


def compare_ancestry(plan: MergePlan, base: Checkpoint, donor: Checkpoint) -> Ancestry:
    """Reads samples of the matrices that a plan would merge, from the first, middle and last of its layers."""
    import torch

    cosines = {}
    for tensor, piece in _samples(plan.merged):
        row = prod(tensor.shape[1:])
        start, other = piece.start * row, piece.donor_start * row
        length = min(SAMPLE_ELEMENTS, (piece.stop - piece.start) * row)
        ours, theirs = base.read(tensor.name, start, start + length), donor.read(piece.donor, other, other + length)
        cosines[tensor.name] = torch.cosine_similarity(ours.double(), theirs.double(), dim=0, eps=0).item()
    return Ancestry({name: cosine for name, cosine in cosines.items() if isfinite(cosine)})


def check_ancestry(plan: MergePlan, base: Checkpoint, donor: Checkpoint, mode: str) -> str:
    """Compares the two language models; returns a sentence for the plan's notes.

    Args:
        mode: `off`, `warn` (unrelated models are only noted) or `error`.

    Raises:
        UserError: the models are unrelated, and `mode` is `error`.
    """
    if mode == "off":
        return "ancestry: not checked (mapping.ancestry_check=off)"
    found = compare_ancestry(plan, base, donor)
    if found.related:
        return str(found)
    verdict = (
        f"{donor.location} does not share an ancestor with {base.location}: the cosine of their sampled weights is "
        f"{found.cosine:.3f}, for fine-tunes of one language model it is near 1"
    )
    if mode == "error":
        raise UserError(f"{verdict}; choose another donor, or set mapping.ancestry_check=warn to merge anyway")
    return f"ancestry: {verdict}"


def _samples(tensors: Sequence[TensorPlan]) -> Iterator[tuple[TensorPlan, Piece]]:
    """A few matrices, without experts for vision, which training moves further from the ancestor than the rest."""
    for role in SAMPLED:
        found = [t for t in tensors if role in t.role and t.expert != "vision"]
        for i in sorted({0, len(found) // 2, len(found) - 1} if found else ()):
            yield found[i], found[i].pieces[0]
