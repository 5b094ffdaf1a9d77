"""From two checkpoints (headers and configs only) to the merge plan: the function f of the paper, section 3.1."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from adamms.checkpoint import Checkpoint
from adamms.errors import UserError
from adamms.mapping.architecture import (
    EMBED_TOKENS,
    LM_HEAD,
    Architecture,
    known_architectures,
    named_architecture,
    recognise,
    recognise_structure,
)
from adamms.mapping.checks import compare, refuse
from adamms.mapping.config import MappingConfig
from adamms.mapping.language_model import EMBEDDINGS, LanguageModelView, Segment
from adamms.mapping.plan import MergePlan, ModelIdentity, Piece, TensorPlan
from adamms.mapping.vocabulary import VocabularyMatch, match_vocabularies

_KEPT = {"other": "no rule of the architecture names it", "dropped": "a buffer that follows from the config"}


def plan_merge(
    base: Checkpoint, donor: Checkpoint, config: MappingConfig, ancestor: Checkpoint | None = None
) -> MergePlan:
    """The plan that merges `donor` into `base`.

    Raises:
        UserError: an architecture is not recognised, or the two language models do not correspond; all
            differences are reported together.
    """
    views = {
        "base": view_of(base, config.base_architecture, "base"),
        "donor": view_of(donor, config.donor_architecture, "donor"),
    }
    findings = compare(base, views["base"], donor, views["donor"], config)
    refuse(base, donor, findings.problems, findings.notes)
    if ancestor is not None:
        views["ancestor"] = view_of(ancestor, config.ancestor_architecture, "ancestor")
        sizes = views["base"].numbers.differing_sizes(views["ancestor"].numbers)
        refuse(base, ancestor, sizes, title="ancestor")
    vocabularies = match_vocabularies(base, donor, config.embeddings, ancestor)
    planner = _Planner(base, views, vocabularies, config.duplicates)
    tensors = tuple(planner.plan_tensor(name) for name in base.tensors)
    refuse(base, donor, planner.problems, findings.notes)
    if not any(tensor.merges for tensor in tensors):
        raise UserError(f"{donor.location}: nothing in it corresponds to anything in {base.location}")
    structural = [
        f"{title}: no known architecture; taken for {view.architecture.title}, all outside it is kept"
        for title, view in views.items()
        if view.architecture.name == "by structure"
    ]
    return MergePlan(
        base=identify(base, views["base"]),
        donor=identify(donor, views["donor"]),
        ancestor=identify(ancestor, views["ancestor"]) if ancestor else None,
        tensors=tensors,
        unused=_unused(views["donor"], tensors, planner.embedding_unused),
        notes=(*structural, f"embeddings: {vocabularies.reason}", *findings.notes),
    )


def view_of(checkpoint: Checkpoint, architecture: str | None, title: str) -> LanguageModelView:
    """The checkpoint as a language model of the architecture named, or of the one recognised.

    Args:
        title: which of the models it is, for errors: 'base', 'donor' or 'ancestor'.
    """
    shapes = {name: info.shape for name, info in checkpoint.tensors.items()}
    found = named_architecture(architecture) if architecture is not None else _recognise(checkpoint, title)
    return LanguageModelView.of(found, checkpoint.config, shapes, str(checkpoint.folder))


def _recognise(checkpoint: Checkpoint, title: str) -> Architecture:
    found = recognise(checkpoint.config, checkpoint.tensors) or recognise_structure(checkpoint.tensors)
    if found is None:
        raise UserError(
            f"{checkpoint.folder}/config.json: model_type {checkpoint.config.get('model_type')!r} with these tensor "
            f"names is none of the known architectures ({', '.join(known_architectures())}); name one, or a YAML file "
            f"that describes it, with mapping.{title}_architecture="
        )
    return found


class _Planner:
    """Plans one tensor after the other; collects `problems`, to be reported together."""

    def __init__(
        self, base: Checkpoint, views: Mapping[str, LanguageModelView], vocabularies: VocabularyMatch, duplicates: str
    ) -> None:
        self.base, self.vocabularies, self.duplicates = base, vocabularies, duplicates
        self.view, self.donor_view, self.ancestor_view = views["base"], views["donor"], views.get("ancestor")
        self.problems: list[str] = []

    @property
    def embedding_unused(self) -> str:
        """Why an embedding of the donor that is not merged is unused."""
        return "lm_head is embed_tokens in the base" if self.vocabularies.merges else self.vocabularies.reason

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
        return TensorPlan(name, info.dtype, info.shape, role, _join(pieces), "; ".join(reasons), expert)

    def _pieces(self, segment: Segment) -> tuple[list[Piece], str]:
        """The pieces of one segment, or why it (or some of it) has none."""
        if segment.canonical in EMBEDDINGS:
            return self._embedding_pieces(segment)
        sources = _counterpart(self.donor_view, segment, self.duplicates)
        if not sources:
            if segment.expert and self.duplicates == "keep":
                return [], f"duplicated for {segment.expert}, which the donor does not (duplicates: keep)"
            return [], "the donor has no counterpart"
        origins = _counterpart(self.ancestor_view, segment, "merge") if self.ancestor_view else ()
        if self.ancestor_view and not origins:
            return [], "the ancestor has no counterpart"
        if not self._same_shape(segment, sources, self.donor_view):
            return [], ""
        if self.ancestor_view and not self._same_shape(segment, origins, self.ancestor_view):
            return [], ""
        return list(_overlay(segment, sources, origins)), ""

    def _same_shape(self, segment: Segment, others: Sequence[Segment], view: LanguageModelView) -> bool:
        """Whether the other model's canonical tensor has as many rows, and rows of the same shape."""
        key = (segment.canonical, segment.expert)
        shapes = [
            [_height(self.view.by_canonical[key]), *self.view.shapes[segment.tensor][1:]],
            [_height(others), *view.shapes[others[0].tensor][1:]],
        ]
        if shapes[0] != shapes[1]:
            self.problems.append(f"{segment.tensor!r} {shapes[0]} != {others[0].tensor!r} {shapes[1]}")
        return shapes[0] == shapes[1]

    def _embedding_pieces(self, segment: Segment) -> tuple[list[Piece], str]:
        """Rows by token. Where one side ties lm_head to embed_tokens, the donor's embed_tokens stands for both."""
        tied = self.view.tied or self.donor_view.tied
        source = _embedding(self.donor_view, EMBED_TOKENS if tied else segment.canonical)
        if source is None or not self.vocabularies.merges:
            return [], self.vocabularies.reason if source else "the donor has no counterpart"
        origin = None
        if self.ancestor_view is not None:
            origin = _embedding(self.ancestor_view, EMBED_TOKENS if self.ancestor_view.tied else segment.canonical)
            if origin is None:
                return [], "the ancestor has no counterpart"
        if not self._same_width(segment, source):
            return [], ""
        rows, donor_rows = segment.stop - segment.start, source.stop - source.start
        found = self.vocabularies.runs(rows, donor_rows, origin.stop - origin.start if origin else None)
        pieces = [
            Piece(
                start=segment.start + run.start,
                stop=segment.start + run.start + run.length,
                donor=source.tensor,
                donor_start=source.start + run.donor_start,
                ancestor=origin.tensor if origin else None,
                ancestor_start=origin.start + run.ancestor_start if origin else 0,
            )
            for run in found
        ]
        merged = sum(run.length for run in found)
        return pieces, "" if merged == rows else f"{rows - merged} rows have no counterpart in the donor's vocabulary"

    def _same_width(self, segment: Segment, source: Segment) -> bool:
        ours, theirs = self.view.shapes[segment.tensor][1:], self.donor_view.shapes[source.tensor][1:]
        if ours != theirs:
            self.problems.append(f"rows of {segment.tensor!r} {list(ours)} != of {source.tensor!r} {list(theirs)}")
        return ours == theirs


def _counterpart(view: LanguageModelView, segment: Segment, duplicates: str) -> Sequence[Segment]:
    """The segments of another model that hold a segment's weight (paper, section 3.1): the duplicate for the same
    expert (vision to vision, text to text), else the weight that was duplicated."""
    experts: list[str | None] = [segment.expert]
    if segment.expert is None:
        experts.append("text")
    elif duplicates == "merge" or segment.expert == "text":
        experts += [None, "text"]
    found = (view.by_canonical.get((segment.canonical, expert)) for expert in experts)
    return next(filter(None, found), ())


def _embedding(view: LanguageModelView, canonical: str) -> Segment | None:
    found = (view.by_canonical.get((name, None)) for name in (canonical, EMBED_TOKENS, LM_HEAD))
    return next((segments[0] for segments in found if segments), None)


def _height(segments: Sequence[Segment]) -> int:
    """Rows of the canonical tensor that these segments hold."""
    return max(segment.canonical_start + segment.stop - segment.start for segment in segments)


def _overlay(segment: Segment, sources: Sequence[Segment], origins: Sequence[Segment]) -> Iterator[Piece]:
    """Cuts a base segment where the rows of its donor (and ancestor) counterparts begin and end."""
    length = segment.stop - segment.start
    first, last = segment.canonical_start, segment.canonical_start + length
    cuts = {first, last}
    for other in (*sources, *origins):
        cuts |= {other.canonical_start, other.canonical_start + other.stop - other.start}
    inside = sorted(cut for cut in cuts if first <= cut <= last)
    for begin, end in itertools.pairwise(inside):
        donor, origin = _at(sources, begin), _at(origins, begin)
        assert donor is not None  # of equal height, and without gaps
        yield Piece(
            start=segment.start + begin - first,
            stop=segment.start + end - first,
            donor=donor.tensor,
            donor_start=donor.start + begin - donor.canonical_start,
            ancestor=origin.tensor if origin else None,
            ancestor_start=origin.start + begin - origin.canonical_start if origin else 0,
        )


def _at(segments: Sequence[Segment], row: int) -> Segment | None:
    return next((s for s in segments if s.canonical_start <= row < s.canonical_start + s.stop - s.start), None)


def _join(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    """Adjacent pieces that continue one another, as one."""
    joined: list[Piece] = []
    for piece in pieces:
        if joined and _continues(joined[-1], piece):
            joined[-1] = replace(joined[-1], stop=piece.stop)
        else:
            joined.append(piece)
    return tuple(joined)


def _continues(first: Piece, second: Piece) -> bool:
    length = first.stop - first.start
    return (
        second.start == first.stop
        and (second.donor, second.donor_start) == (first.donor, first.donor_start + length)
        and second.ancestor == first.ancestor
        and (first.ancestor is None or second.ancestor_start == first.ancestor_start + length)
    )


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
    """The identity that a plan records of a model."""
    kind, digest = view.architecture.name, checkpoint.digest
    return ModelIdentity(checkpoint.location, kind, view.layout.origin, digest, checkpoint.full)
