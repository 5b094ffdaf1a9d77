"""From two checkpoints (headers and configs only) to the merge plan: the function f of the paper, section 3.1."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from adamms.checkpoint import Checkpoint
from adamms.checkpoint.tensor_info import MERGEABLE_DTYPES
from adamms.errors import UserError
from adamms.mapping.architecture import Architecture, known_architectures, recognise
from adamms.mapping.language_model import LanguageModelView, Segment
from adamms.mapping.plan import MergePlan, ModelIdentity, Piece, TensorPlan
from adamms.mapping.vocabulary import EMBEDDINGS, RowRun, embedding_rows

if TYPE_CHECKING:
    from adamms.config import MappingConfig

CanonicalIndex = Mapping[tuple[str, str | None], Sequence[Segment]]


def plan_merge(
    base: Checkpoint, donor: Checkpoint, config: MappingConfig, ancestor: Checkpoint | None = None
) -> MergePlan:
    """The plan that merges `donor` into `base`.

    Raises:
        UserError: an architecture is not recognised, or the two language models do not correspond; all
            differences are reported together.
    """
    views = {
        "base": view_of(base, config.base_architecture),
        "donor": view_of(donor, config.donor_architecture),
    }
    if ancestor is not None:
        views["ancestor"] = view_of(ancestor, None)
    _check_numbers(views, {"base": base, "donor": donor})
    planner = _Planner(base, donor, ancestor, views, config)
    tensors = tuple(planner.plan_tensor(name) for name in base.tensors)
    if not any(tensor.merges for tensor in tensors):
        raise UserError(f"{donor.location}: nothing in it corresponds to anything in {base.location}")
    return MergePlan(
        base=identify(base, views["base"]),
        donor=identify(donor, views["donor"]),
        ancestor=identify(ancestor, views["ancestor"]) if ancestor else None,
        tensors=tensors,
        unused=_unused(views["donor"], tensors, planner.head_reason),
        notes=planner.notes,
    )


def view_of(checkpoint: Checkpoint, architecture: str | None) -> LanguageModelView:
    """The checkpoint as a language model of the architecture named, or of the one recognised."""
    shapes = {name: info.shape for name, info in checkpoint.tensors.items()}
    return LanguageModelView.of(
        _architecture(checkpoint, architecture), checkpoint.config, shapes, str(checkpoint.folder)
    )


def _architecture(checkpoint: Checkpoint, name: str | None) -> Architecture:
    known = known_architectures()
    if name is not None:
        if name not in known:
            raise UserError(f"mapping: unknown architecture {name!r}; known are {', '.join(known)}")
        return known[name]
    found = recognise(checkpoint.config, checkpoint.tensors)
    if found is None:
        raise UserError(
            f"{checkpoint.folder}/config.json: model_type {checkpoint.config.get('model_type')!r} is none of the known "
            f"architectures ({', '.join(known)}); name one with mapping.base_architecture= "
            "or mapping.donor_architecture="
        )
    return found


def _check_numbers(views: Mapping[str, LanguageModelView], checkpoints: Mapping[str, Checkpoint]) -> None:
    differences = views["base"].numbers.differences(views["donor"].numbers)
    if differences:
        raise UserError(
            f"the language models do not correspond (base {checkpoints['base'].location} != donor "
            f"{checkpoints['donor'].location}): {'; '.join(differences)}; merge models that grew from the same one"
        )


class _Planner:
    """Holds what planning every tensor needs."""

    def __init__(
        self,
        base: Checkpoint,
        donor: Checkpoint,
        ancestor: Checkpoint | None,
        views: Mapping[str, LanguageModelView],
        config: MappingConfig,
    ) -> None:
        self.base, self.donor, self.ancestor, self.config = base, donor, ancestor, config
        self.view = views["base"]
        self.donor_index = views["donor"].by_canonical()
        self.ancestor_index = views["ancestor"].by_canonical() if ancestor else None
        self.embedding_runs, self.head_reason = embedding_rows(base, donor, config.embeddings)
        self.notes = (f"embeddings: {self.head_reason}",)

    def plan_tensor(self, name: str) -> TensorPlan:
        info = self.base.tensors[name]
        segments = self.view.segments.get(name)
        if segments is None:
            role = self.view.roles[name]
            return TensorPlan(name, info.dtype, info.shape, role, reason=_KEPT.get(role, f"{role}: always the base's"))
        role = "+".join(dict.fromkeys(_role(segment.canonical) for segment in segments))
        expert = segments[0].expert or ""
        pieces, reasons = [], []
        for segment in segments:
            found, reason = self._pieces(segment)
            pieces += found
            if reason and reason not in reasons:
                reasons.append(reason)
        if pieces and info.dtype not in MERGEABLE_DTYPES:
            raise UserError(
                f"{info.path}: {name!r} is {info.dtype}; "
                f"merge models with {', '.join(sorted(MERGEABLE_DTYPES))} weights"
            )
        return TensorPlan(name, info.dtype, info.shape, role, tuple(_join(pieces)), "; ".join(reasons), expert)

    def _pieces(self, segment: Segment) -> tuple[list[Piece], str]:
        """The pieces of one segment, or why it has none."""
        if segment.canonical in EMBEDDINGS:
            return self._embedding_pieces(segment)
        sources = _counterpart(self.donor_index, segment, self.config.duplicates)
        if not sources:
            if segment.expert and self.config.duplicates == "keep":
                return [], f"duplicated for {segment.expert}, which the donor does not (duplicates: keep)"
            return [], "the donor has no counterpart"
        origins = _counterpart(self.ancestor_index, segment, "merge") if self.ancestor_index is not None else None
        if origins is not None and not origins:
            return [], "the ancestor has no counterpart"
        self._check_shape(segment, sources[0])
        return list(_overlay(segment, sources, origins)), ""

    def _embedding_pieces(self, segment: Segment) -> tuple[list[Piece], str]:
        sources = self.donor_index.get((segment.canonical, None)) or self.donor_index.get(("embed_tokens.weight", None))
        if not sources or not self.embedding_runs:
            return [], self.head_reason
        donor = sources[0].tensor
        self._check_shape(segment, sources[0])
        ancestor = self._ancestor_embedding(segment)
        return [
            Piece(run.start, run.start + run.length, donor, run.donor_start, ancestor, run.start if ancestor else 0)
            for run in self.embedding_runs
        ], ""

    def _ancestor_embedding(self, segment: Segment) -> str | None:
        if self.ancestor_index is None:
            return None
        found = self.ancestor_index.get((segment.canonical, None)) or self.ancestor_index.get(
            ("embed_tokens.weight", None)
        )
        return found[0].tensor if found else None

    def _check_shape(self, segment: Segment, source: Segment) -> None:
        ours, theirs = self.base.tensors[segment.tensor].shape[1:], self.donor.tensors[source.tensor].shape[1:]
        if ours != theirs:
            raise UserError(
                f"{segment.tensor!r} has rows of shape {list(ours)}, the donor's {source.tensor!r} of {list(theirs)}; "
                "merge models that grew from the same language model"
            )


def _counterpart(index: CanonicalIndex, segment: Segment, duplicates: str) -> Sequence[Segment]:
    """Where the other model keeps a segment's weight (paper, section 3.1): its own duplicate for the same expert
    (vision to vision, text to text), else the weight that was duplicated."""
    experts: list[str | None] = [segment.expert]
    if segment.expert is None:
        experts.append("text")
    elif duplicates == "merge" or segment.expert == "text":
        experts += [None, "text"]
    return next((index[segment.canonical, expert] for expert in experts if (segment.canonical, expert) in index), ())


def _overlay(segment: Segment, sources: Sequence[Segment], origins: Sequence[Segment] | None) -> Iterator[Piece]:
    """Cuts a base segment where the rows of its donor (and ancestor) counterparts begin and end."""
    length = segment.stop - segment.start
    first, last = segment.canonical_start, segment.canonical_start + length
    cuts = {first, last}
    for other in (*sources, *(origins or ())):
        cuts |= {other.canonical_start, other.canonical_start + other.stop - other.start}
    inside = sorted(cut for cut in cuts if first <= cut <= last)
    for begin, end in itertools.pairwise(inside):
        donor = _at(sources, begin)
        if donor is None:
            raise UserError(f"the donor's {sources[0].tensor!r} has fewer rows than the base's {segment.tensor!r}")
        piece = Piece(
            start=segment.start + begin - first,
            stop=segment.start + end - first,
            donor=donor.tensor,
            donor_start=donor.start + begin - donor.canonical_start,
        )
        origin = _at(origins, begin) if origins is not None else None
        if origin is not None:
            ancestor_start = origin.start + begin - origin.canonical_start
            piece = Piece(piece.start, piece.stop, piece.donor, piece.donor_start, origin.tensor, ancestor_start)
        yield piece


def _at(segments: Sequence[Segment], row: int) -> Segment | None:
    return next((s for s in segments if s.canonical_start <= row < s.canonical_start + s.stop - s.start), None)


def _join(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """Adjacent pieces that continue one another, as one."""
    current: Piece | None = None
    for piece in pieces:
        if current is not None and _continues(current, piece):
            current = Piece(
                current.start, piece.stop, current.donor, current.donor_start, current.ancestor, current.ancestor_start
            )
            continue
        if current is not None:
            yield current
        current = piece
    if current is not None:
        yield current


def _continues(first: Piece, second: Piece) -> bool:
    length = first.stop - first.start
    return (
        second.start == first.stop
        and (second.donor, second.donor_start) == (first.donor, first.donor_start + length)
        and second.ancestor == first.ancestor
        and (first.ancestor is None or second.ancestor_start == first.ancestor_start + length)
    )


_KEPT = {"other": "no rule of the architecture names it", "dropped": "a buffer that follows from the config"}


def _role(canonical: str) -> str:
    """A canonical name without its layer number."""
    return canonical.split(".", 2)[2] if canonical.startswith("layers.") else canonical


def _unused(view: LanguageModelView, tensors: Sequence[TensorPlan], embedding_reason: str) -> dict[str, str]:
    used = {piece.donor for tensor in tensors for piece in tensor.pieces}
    reasons = dict.fromkeys(view.segments, "its weights have no place in the base")
    for name, segments in view.segments.items():
        if segments[0].canonical in EMBEDDINGS:
            reasons[name] = embedding_reason
    reasons |= {name: f"{role}: the base keeps its own" for name, role in view.roles.items()}
    return {name: reason for name, reason in reasons.items() if name not in used}


def identify(checkpoint: Checkpoint, view: LanguageModelView) -> ModelIdentity:
    """Which model it is, for a plan."""
    return ModelIdentity(checkpoint.location, view.architecture.name, view.layout.origin, checkpoint.digest)


__all__ = ["RowRun", "plan_merge", "view_of"]
