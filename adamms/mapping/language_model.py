"""A checkpoint seen as a language model: which of its rows hold which rows of the canonical tensors."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from adamms.errors import UserError
from adamms.mapping.architecture import EMBED_TOKENS, LM_HEAD, Architecture, Layout, NameRule, RuleMatcher
from adamms.mapping.numbers import LanguageModelNumbers
from adamms.mapping.rows import Rows, Turned, row_length, rows_of
from adamms.mapping.structure import NAME as BY_STRUCTURE

EMBEDDINGS = frozenset({EMBED_TOKENS, LM_HEAD})
DROPPED, OTHER, PREDICTION = "dropped", "other", "multi-token prediction"  # roles of tensors that no rule names


@dataclass(frozen=True, slots=True)
class Segment:
    """Rows `start` to `stop` of a tensor hold `canonical`'s rows from `canonical_start` on.

    Attributes:
        row: elements of a row; 0 for a vector.
        turned: these rows are the transpose of these canonical tensors, one below the other.
    """

    tensor: str | Turned
    start: int
    stop: int
    canonical: str
    canonical_start: int
    expert: str | None
    row: int
    turned: tuple[str, ...] = ()


@dataclass(frozen=True)
class LanguageModelView:
    """Every tensor of a checkpoint, cut into segments, or given a role outside the language model.

    Attributes:
        shapes: of all tensors.
        segments: by checkpoint tensor name, in order of rows; they tile the tensor.
        roles: of the tensors that no rule matches: 'vision', 'projector', ..., 'dropped', 'other'.
        unnamed: those of 'other' that lie in the language model: in its layers, or beside them.
        tied: lm_head is embed_tokens, as the config says or because the checkpoint has no lm_head.
    """

    architecture: Architecture
    layout: Layout
    numbers: LanguageModelNumbers
    shapes: Mapping[str, tuple[int, ...]]
    segments: Mapping[str, tuple[Segment, ...]]
    roles: Mapping[str, str]
    unnamed: frozenset[str]
    tied: bool

    @classmethod
    def of(
        cls, architecture: Architecture, config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], where: str
    ) -> Self:
        """Cuts the tensors (given by name and shape) of a model of known architecture.

        Raises:
            UserError: the names fit no layout, or the weights do not add up to the config's numbers.
        """
        layout = architecture.layout_of(shapes)
        if layout is None:
            known = ", ".join(f"{x.model}* ({x.origin})" for x in architecture.layouts)
            raise UserError(f"{where}: has none of the names of {architecture.title}: {known}; give its architecture")
        numbers = LanguageModelNumbers.of(config, architecture, f"{where}/config.json")
        matcher = RuleMatcher(architecture, layout)
        segments: dict[str, tuple[Segment, ...]] = {}
        roles: dict[str, str] = {}
        stacks: dict[str, NameRule] = {}
        problems = []
        predicting = _predicting_layers(shapes, matcher, numbers)
        for name, shape in shapes.items():
            rule = matcher.match(name)
            if matcher.layer(name) in predicting:
                roles[name] = PREDICTION
            elif rule is None:
                roles[name] = DROPPED if matcher.drops(name) else matcher.kept_role(name) or OTHER
            elif rule.form == "stack":
                stacks[name] = rule
            else:
                rows = rows_of(shape)
                expected = _expected_rows(rule, numbers) if architecture.rows == "checked" else None
                if expected not in (None, rows):
                    problems.append(f"{name!r} has {rows} rows, the config's numbers make {expected}")
                    continue
                segments[name] = tuple(_cut(name, shape, rule, numbers))
        segments |= _cut_stacks(stacks, shapes, numbers.hidden_size)
        problems = problems or _wrong_layers(segments, numbers)
        if problems:
            more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
            raise UserError(f"{where}: {'; '.join(problems[:5])}{more}; the weights do not belong to this config.json")
        has_head = any(segment.canonical == LM_HEAD for group in segments.values() for segment in group)
        others = [name for name, role in roles.items() if role == OTHER]
        own = {name for name in others if matcher.layer(name) is not None}
        if architecture.name != BY_STRUCTURE:  # which has looked already at what else belongs to it
            kept = [name for name, role in roles.items() if role not in (DROPPED, OTHER, PREDICTION)]
            own |= _beside_layers(others, segments, kept, layout)
        tied = numbers.tied_embeddings or not has_head
        return cls(architecture, layout, numbers, shapes, segments, roles, frozenset(own), tied)

    @cached_property
    def by_canonical(self) -> dict[tuple[str, str | None], list[Segment]]:
        """The segments of each (canonical tensor, expert), in order of canonical rows."""
        index: dict[tuple[str, str | None], list[Segment]] = {}
        every = [segment for segments in self.segments.values() for segment in segments]
        for segment in sorted(every, key=lambda segment: segment.canonical_start):
            index.setdefault((segment.canonical, segment.expert), []).append(segment)
        return index

    def turn(self, segment: Segment) -> Segment | None:
        """What stands for a segment of another model here, where one of the two stores it transposed."""
        if segment.turned:
            found = [self.by_canonical.get((part, None), ()) for part in segment.turned]
            parts = tuple(Rows(str(s.tensor), s.start, s.stop, s.row) for group in found for s in group)
            if not all(found) or len({part.length for part in parts}) > 1:
                return None
            height = sum(part.stop - part.start for part in parts)
            return Segment(Turned(parts), 0, parts[0].length, segment.canonical, 0, None, height, segment.turned)
        block = self._blocks.get(segment.canonical)
        if block is None:
            return None
        turned = Turned((Rows(str(block.tensor), block.start, block.stop, block.row),))
        height = block.row // len(block.turned)
        start = height * block.turned.index(segment.canonical)
        return Segment(turned, start, start + height, segment.canonical, 0, None, block.stop - block.start)

    @cached_property
    def _blocks(self) -> dict[str, Segment]:
        """By canonical tensor: the rows that hold it transposed."""
        every = (segment for segments in self.segments.values() for segment in segments)
        return {part: segment for segment in every for part in segment.turned}


def _beside_layers(names: Iterable[str], segments: Iterable[str], kept: Iterable[str], layout: Layout) -> set[str]:
    """Which of these tensors are the language model's outside its layers: those in the module of one that a rule names,
    and all under its prefix, unless tensors that stay the base's (`kept`) lie there, too."""
    modules = {name.rpartition(".")[0] for name in segments} - {""}
    shared = any(name.startswith(layout.model) for name in kept)
    prefix = None if shared or not layout.model else layout.model
    return {
        name for name in names if name.rpartition(".")[0] in modules or (prefix is not None and name.startswith(prefix))
    }


def _cut(name: str, shape: tuple[int, ...], rule: NameRule, numbers: LanguageModelNumbers) -> Iterator[Segment]:
    rows, row = rows_of(shape), row_length(shape) if len(shape) > 1 else 0
    if len(rule.parts) == 1:
        yield Segment(name, 0, rows, rule.parts[0], 0, rule.expert, row)
        return
    sizes = [_rows(part, numbers) or numbers.hidden_size for part in rule.parts]
    groups = numbers.kv_heads if rule.form == "grouped" else 1
    start = 0
    for group in range(groups):
        for part, size in zip(rule.parts, sizes, strict=True):
            height = size // groups
            yield Segment(name, start, start + height, part, group * height, rule.expert, row)
            start += height


def _cut_stacks(
    rules: Mapping[str, NameRule], shapes: Mapping[str, tuple[int, ...]], hidden: int
) -> dict[str, tuple[Segment, ...]]:
    """The segments of all stacks of experts.

    Some files hold [experts, out, in], others the transpose. Shapes tell, and all stacks of a model are alike: where
    one is square for each expert, another is not.
    """
    wrong = [name for name in rules if len(shapes[name]) != 3 or hidden not in shapes[name][1:] or 0 in shapes[name]]
    if wrong:
        raise UserError(f"{wrong[0]!r} {list(shapes[wrong[0]])} is no stack of experts of hidden size {hidden}")
    turned = {
        shapes[name][1 if _leads_out(rule) else 2] != hidden
        for name, rule in rules.items()
        if shapes[name][1] != shapes[name][2]
    }
    if len(turned) > 1:
        raise UserError(
            f"experts lie as [out, in] in some stacks and as [in, out] in others, first {next(iter(rules))!r}"
        )
    return {name: tuple(_cut_stack(name, shapes[name], rule, turned == {True})) for name, rule in rules.items()}


def _leads_out(rule: NameRule) -> bool:
    """Whether a stack's matrices lead back to the hidden size, rather than from it."""
    return rule.parts[0].endswith("down_proj.weight")


def _cut_stack(name: str, shape: tuple[int, ...], rule: NameRule, turned: bool) -> Iterator[Segment]:
    """Each expert's rows of a stack: its parts one below the other, or the transpose of that."""
    experts, rows, row = shape
    for i in range(experts):
        parts = tuple(part.replace("{expert}", str(i)) for part in rule.parts)
        if turned:
            yield Segment(name, i * rows, (i + 1) * rows, f"transpose of {'+'.join(parts)}", 0, None, row, parts)
            continue
        height = rows // len(parts)
        for j, part in enumerate(parts):
            start = i * rows + j * height
            yield Segment(name, start, start + height, part, 0, None, row)


def _expected_rows(rule: NameRule, numbers: LanguageModelNumbers) -> int | None:
    """How many rows a tensor should have by the config's numbers; None if they do not determine it."""
    sizes = [_rows(part, numbers) for part in rule.parts]
    return None if None in sizes else sum(size for size in sizes if size)


def _rows(canonical: str, numbers: LanguageModelNumbers) -> int | None:
    """How many rows a canonical tensor has by the config's numbers; None if they do not determine it."""
    match canonical.split(".")[2:-1] if canonical.startswith("layers.") else ():
        case ["self_attn", "q_proj"] if not numbers.latent:
            return numbers.heads * numbers.head_dim
        case ["self_attn", "k_proj" | "v_proj"] if not numbers.latent:
            return numbers.kv_heads * numbers.head_dim
        case ["mlp", "gate_proj" | "up_proj"]:
            return numbers.intermediate_size
        case ["self_attn", "o_proj"] | ["mlp", "down_proj"] | ["input_layernorm" | "post_attention_layernorm"]:
            return numbers.hidden_size
    return None


def _predicting_layers(names: Iterable[str], matcher: RuleMatcher, numbers: LanguageModelNumbers) -> set[int]:
    """The layers after the last that only predict further tokens: as many as the config says, or known by a name."""
    first = numbers.layers
    return {
        layer
        for name in names
        if (layer := matcher.layer(name)) is not None
        and layer >= first
        and ("eh_proj" in name or layer < first + numbers.predicting)
    }


def _wrong_layers(segments: Mapping[str, tuple[Segment, ...]], numbers: LanguageModelNumbers) -> list[str]:
    names = {segment.canonical for group in segments.values() for segment in group}
    found = {int(name.split(".", 2)[1]) for name in names if name.startswith("layers.")}
    if len(found) == numbers.layers and found == set(range(len(found))):
        return []
    return [f"the config says {numbers.layers} layers, the weights have {len(found)}"]
