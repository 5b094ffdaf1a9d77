"""From two checkpoints (headers and configs only) to the merge plan: the function f of the paper, section 3.1."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from adamms.checkpoint import Checkpoint
from adamms.errors import UserError
from adamms.mapping.architecture import (
    EMBED_TOKENS,
    LM_HEAD,
    Architecture,
    known_architectures,
    named_architecture,
    recognise,
)
from adamms.mapping.checks import compare, refuse
from adamms.mapping.config import MappingConfig
from adamms.mapping.language_model import DROPPED, EMBEDDINGS, OTHER, PREDICTION, LanguageModelView, Segment
from adamms.mapping.numbers import LanguageModelNumbers
from adamms.mapping.plan import MergePlan, ModelIdentity, Piece, Source, TensorPlan, joined
from adamms.mapping.rows import Turned, tensors_of
from adamms.mapping.structure import NAME as BY_STRUCTURE
from adamms.mapping.structure import completed, recognise_structure
from adamms.mapping.vocabulary import VocabularyMatch, match_vocabularies

OWN = ": the base keeps its own"
"""Ends the reason of a part that never merges, after its name."""
_KEPT = {
    OTHER: "no rule of the architecture names it",
    DROPPED: "a buffer that follows from the config",
    PREDICTION: f"multi-token prediction (MTP) beyond the last layer{OWN}",
}
NO_COUNTERPART, NO_ORIGIN = "the donor has no counterpart", "the ancestor has no counterpart"


def plan_merge(
    base: Checkpoint, donor: Checkpoint, config: MappingConfig, ancestor: Checkpoint | None = None
) -> MergePlan:
    """The plan that merges one donor into `base`; `combine` makes one plan of several.

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
    left = [(base, donor, planner.unmatched), (donor, base, planner.unmatched_of_donor())]
    if ancestor is not None:
        left.append((base, ancestor, planner.without_origin))
    warnings = _check_whole(left, config.unmatched)
    structural = [
        f"{title}: no known family; its language model was guessed: {view.architecture.title}; all else is kept"
        for title, view in views.items()
        if view.architecture.name == BY_STRUCTURE
    ]
    return MergePlan(
        base=identify(base, views["base"]),
        donors=(identify(donor, views["donor"]),),
        ancestor=identify(ancestor, views["ancestor"]) if ancestor else None,
        tensors=tensors,
        unused=(_unused(views["donor"], tensors, planner.why_unused),),
        notes=(*structural, f"embeddings: {vocabularies.reason}", *findings.notes),
        warnings=warnings,
    )


def _check_whole(left: Iterable[tuple[Checkpoint, Checkpoint, Sequence[str]]], mode: str) -> tuple[str, ...]:
    """What to warn of where tensors of the language models do not correspond.

    Args:
        left: a model, another one, and the tensors of the first that the other has no counterpart of.

    Raises:
        UserError: there are such tensors, and `mode` is not `keep`.
    """
    found = [
        f"{len(names)} tensors of the language model of {model.location} have no counterpart in {other.location} "
        f"({_some(names)})"
        for model, other, names in left
        if names
    ]
    if not found:
        return ()
    if mode == "keep":
        return (f"merged in part only, as mapping.unmatched=keep asks: {'; '.join(found)}",)
    raise UserError(
        f"{'; '.join(found)}: a model merged in part is neither of the two; choose a donor of the same language model, "
        "describe the family in a YAML file (mapping.base_architecture=, mapping.donor_architecture=), or merge the "
        "rest with mapping.unmatched=keep"
    )


def _some(names: Sequence[str]) -> str:
    """One name of each kind, a few kinds."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(re.sub(r"\d+", "#", name), []).append(name)
    shown = [f"{group[0]!r}{f' and {len(group) - 1} like it' if group[1:] else ''}" for group in kinds.values()]
    return ", ".join(shown[:6]) + (f", and {len(shown) - 6} kinds more" if shown[6:] else "")


def view_of(checkpoint: Checkpoint, architecture: str | None, title: str) -> LanguageModelView:
    """The checkpoint as a language model of the architecture named, or of the one recognised.

    Args:
        title: which of the models it is, for errors: 'base', 'donor' or 'ancestor'.
    """
    shapes = {name: info.shape for name, info in checkpoint.tensors.items()}
    return view_of_shapes(checkpoint, architecture, shapes, title)


def view_of_shapes(
    checkpoint: Checkpoint, architecture: str | None, shapes: Mapping[str, tuple[int, ...]], title: str
) -> LanguageModelView:
    """As `view_of`, of tensors of other names and shapes: a live model's, whose library may have renamed them."""
    config: Mapping[str, Any] = checkpoint.config
    where = str(checkpoint.folder)
    found = named_architecture(architecture) if architecture is not None else recognise(config, shapes)
    if found is None:
        try:
            found, config = recognise_structure(config, shapes)
        except UserError as error:
            raise UserError(
                f"{where}/config.json: model_type {config.get('model_type')!r} with these tensor names is none of the "
                f"known families ({', '.join(known_architectures())}), and its language model cannot be guessed: "
                f"{error}; name a family, or a YAML file that describes it, with mapping.{title}_architecture="
            ) from None
    return LanguageModelView.of(found, config, shapes, where)


class _Planner:
    """Plans one tensor after the other; collects `problems`, to be reported together."""

    def __init__(
        self, base: Checkpoint, views: Mapping[str, LanguageModelView], vocabularies: VocabularyMatch, duplicates: str
    ) -> None:
        self.base, self.vocabularies, self.duplicates = base, vocabularies, duplicates
        self.view, self.donor_view, self.ancestor_view = views["base"], views["donor"], views.get("ancestor")
        self.problems: list[str] = []
        self.unmatched: list[str] = sorted(self.view.unnamed)  # tensors of the base
        self.without_origin: list[str] = []  # those that the ancestor lacks
        self._taken: set[tuple[str, int]] = set()  # where segments of the donor that have a place begin

    def unmatched_of_donor(self) -> list[str]:
        """The tensors of the donor's language model that have no place in the base, or not all of their rows."""
        view = self.donor_view
        left = [
            name
            for name, segments in view.segments.items()
            for s in segments
            if (name, s.start) not in self._taken and s.canonical not in EMBEDDINGS and s.expert != "vision"
        ]
        return [*dict.fromkeys(left), *sorted(view.unnamed)]

    def why_unused(self, segment: Segment) -> str:
        """Why nothing is merged from a segment of the donor."""
        if _is_by_token(segment) and not self.vocabularies.merges:
            return self.vocabularies.reason
        if segment.canonical in EMBEDDINGS:
            return "lm_head is embed_tokens in the base"
        return "its weights have no place in the base"

    def plan_tensor(self, name: str) -> TensorPlan:
        info = self.base.tensors[name]
        segments = self.view.segments.get(name)
        if segments is None:
            role = self.view.roles[name]
            reason = _KEPT.get(role, f"{role}{OWN}")
            outside = name not in self.view.unnamed and role not in (DROPPED, PREDICTION)
            return TensorPlan(name, info.dtype, info.shape, role, reason=reason, outside=outside)
        role = "+".join(dict.fromkeys(_role(segment.canonical) for segment in segments))
        expert = segments[0].expert or ""
        pieces, reasons = [], []
        for segment in segments:
            found, reason = self._pieces(segment)
            pieces += found
            if reason and reason not in reasons:
                reasons.append(reason)
        if NO_COUNTERPART in reasons and expert != "vision":
            self.unmatched.append(name)
        if NO_ORIGIN in reasons:
            self.without_origin.append(name)
        return TensorPlan(name, info.dtype, info.shape, role, joined(pieces), "; ".join(reasons), expert)

    def _pieces(self, segment: Segment) -> tuple[list[Piece], str]:
        """The pieces of one segment, or why it (or some of it) has none."""
        if _is_by_token(segment):
            return self._pieces_by_token(segment)
        sources = _counterpart(self.donor_view, segment, self.duplicates)
        if not sources:
            if segment.expert == "vision" and self.duplicates == "keep":
                return [], "duplicated for vision, which the donor does not (duplicates: keep)"
            return [], NO_COUNTERPART
        origins = _counterpart(self.ancestor_view, segment, "merge") if self.ancestor_view else ()
        if self.ancestor_view and not origins:
            return [], NO_ORIGIN
        if not self._same_shape(segment, sources):
            return [], ""
        if self.ancestor_view and not self._same_shape(segment, origins):
            return [], ""
        self._take(sources)
        return list(_overlay(segment, sources, origins)), ""

    def _take(self, sources: Sequence[Segment]) -> None:
        for source in sources:
            if isinstance(source.tensor, Turned):
                self._taken |= {(part.tensor, part.start) for part in source.tensor.parts}
            else:
                self._taken.add((source.tensor, source.start))

    def _same_shape(self, segment: Segment, others: Sequence[Segment]) -> bool:
        """Whether the other model's canonical tensor has as many rows, and rows of the same length."""
        own = self.view.by_canonical[segment.canonical, segment.expert]
        shapes = [[_height(group), group[0].row][: 2 if group[0].row else 1] for group in (own, others)]
        if shapes[0] != shapes[1]:
            names = [
                repr(one.tensor) if isinstance(one.tensor, str) else str(one.tensor) for one in (own[0], others[0])
            ]
            self.problems.append(f"{names[0]} {shapes[0]} != {names[1]} {shapes[1]}")
        return shapes[0] == shapes[1]

    def _pieces_by_token(self, segment: Segment) -> tuple[list[Piece], str]:
        """Rows by token. Where one side ties lm_head to embed_tokens, the donor's embed_tokens stands for both."""
        source = _by_token(self.donor_view, segment, self.view.tied or self.donor_view.tied)
        if source is None:
            return [], NO_COUNTERPART
        self._take([source])
        if not self.vocabularies.merges:
            return [], self.vocabularies.reason
        origin = None
        if self.ancestor_view is not None:
            origin = _by_token(self.ancestor_view, segment, self.ancestor_view.tied)
            if origin is None:
                return [], NO_ORIGIN
        if not all(self._same_width(segment, other) for other in (source, origin) if other is not None):
            return [], ""
        rows, donor_rows = segment.stop - segment.start, source.stop - source.start
        found = self.vocabularies.runs(rows, donor_rows, origin.stop - origin.start if origin else None)
        pieces = [
            Piece(
                start=segment.start + run.start,
                stop=segment.start + run.start + run.length,
                sources=(Source(source.tensor, source.start + run.donor_start),),
                ancestor=origin.tensor if origin else None,
                ancestor_start=origin.start + run.ancestor_start if origin else 0,
            )
            for run in found
        ]
        merged = sum(run.length for run in found)
        paired = sum(run.length for run in self.vocabularies.runs(rows, donor_rows)) if origin else merged
        left = {"donor": rows - paired, "ancestor": paired - merged}
        told = (f"{count} rows have no counterpart in the {who}'s vocabulary" for who, count in left.items() if count)
        return pieces, "; ".join(told)

    def _same_width(self, segment: Segment, source: Segment) -> bool:
        if segment.row != source.row:
            self.problems.append(f"rows of {segment.tensor!r} [{segment.row}] != of {source.tensor!r} [{source.row}]")
        return segment.row == source.row


def _is_by_token(segment: Segment) -> bool:
    """Whether rows are tokens: of the two embeddings, or of others such as Gemma's for each layer."""
    return segment.canonical in EMBEDDINGS or (segment.canonical.startswith("embed_tokens") and segment.row > 0)


def _counterpart(view: LanguageModelView, segment: Segment, duplicates: str) -> Sequence[Segment]:
    """The segments of another model that hold a segment's weight (paper, section 3.1): the duplicate for the same
    expert (vision to vision, text to text), else the weight that was duplicated."""
    experts: list[str | None] = [segment.expert]
    if segment.expert is None:
        experts.append("text")
    elif duplicates == "merge" or segment.expert == "text":
        experts += [None, "text"]
    found = (view.by_canonical.get((segment.canonical, expert)) for expert in experts)
    stored = next(filter(None, found), ())
    turned = None if stored else view.turn(segment)
    return (turned,) if turned else stored


def _by_token(view: LanguageModelView, segment: Segment, tied: bool) -> Segment | None:
    """What holds the rows of the same tokens in another model: of an embedding that it lacks, the one that it has."""
    names: tuple[str, ...] = (segment.canonical,)
    if segment.canonical in EMBEDDINGS:
        names = (EMBED_TOKENS if tied else segment.canonical, EMBED_TOKENS, LM_HEAD)
    found = (view.by_canonical.get((name, None)) for name in names)
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
            sources=(Source(donor.tensor, donor.start + begin - donor.canonical_start),),
            ancestor=origin.tensor if origin else None,
            ancestor_start=origin.start + begin - origin.canonical_start if origin else 0,
        )


def _at(segments: Sequence[Segment], row: int) -> Segment | None:
    return next((s for s in segments if s.canonical_start <= row < s.canonical_start + s.stop - s.start), None)


def _role(canonical: str) -> str:
    """A canonical name without its layer number."""
    return canonical.split(".", 2)[2] if canonical.startswith("layers.") else canonical


def _unused(view: LanguageModelView, tensors: Sequence[TensorPlan], why: Callable[[Segment], str]) -> dict[str, str]:
    used = {name for t in tensors for p in t.pieces for source in p.sources for name in tensors_of(source.tensor)}
    reasons = {name: why(segments[0]) for name, segments in view.segments.items()}
    reasons |= {name: f"{role}{OWN}" for name, role in view.roles.items()}
    return {name: reason for name, reason in reasons.items() if name not in used}


def identify(checkpoint: Checkpoint, view: LanguageModelView) -> ModelIdentity:
    """The identity that a plan records of a model."""
    kind, digest = view.architecture.name, checkpoint.digest
    return ModelIdentity(checkpoint.location, kind, view.layout.origin, digest, checkpoint.full)


def numbers_of(checkpoint: Checkpoint, identity: ModelIdentity) -> LanguageModelNumbers:
    """The numbers of a model's language model, which a plan gave this identity."""
    config: Mapping[str, Any] = checkpoint.config
    architecture = known_architectures().get(identity.architecture)
    if architecture is None:  # guessed, or described by a file that may be elsewhere
        architecture, config = Architecture(BY_STRUCTURE, "", (), {}, rows="free"), completed(config)
    return LanguageModelNumbers.of(config, architecture, f"{checkpoint.location}/config.json")
