"""A checkpoint seen as a language model: which of its rows hold which rows of the canonical tensors."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from adamms.errors import UserError
from adamms.mapping.architecture import EMBED_TOKENS, LM_HEAD, Architecture, Layout, NameRule, RuleMatcher
from adamms.mapping.numbers import LanguageModelNumbers

EMBEDDINGS = frozenset({EMBED_TOKENS, LM_HEAD})


@dataclass(frozen=True, slots=True)
class Segment:
    """Rows `start` to `stop` of the checkpoint tensor `tensor` hold `canonical`'s rows from `canonical_start` on."""

    tensor: str
    start: int
    stop: int
    canonical: str
    canonical_start: int
    expert: str | None


@dataclass(frozen=True)
class LanguageModelView:
    """Every tensor of a checkpoint, cut into segments, or given a role outside the language model.

    Attributes:
        shapes: of all tensors.
        segments: by checkpoint tensor name, in order of rows; they tile the tensor.
        roles: of the tensors that no rule matches: 'vision', 'projector', ..., 'dropped', 'other'.
        tied: lm_head is embed_tokens, as the config says or because the checkpoint has no lm_head.
    """

    architecture: Architecture
    layout: Layout
    numbers: LanguageModelNumbers
    shapes: Mapping[str, tuple[int, ...]]
    segments: Mapping[str, tuple[Segment, ...]]
    roles: Mapping[str, str]
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
        problems = []
        for name, shape in shapes.items():
            rule = matcher.match(name)
            if rule is None:
                roles[name] = "dropped" if matcher.drops(name) else architecture.kept_role(name) or "other"
                continue
            rows = shape[0] if shape else 1
            expected = _expected_rows(rule, numbers)
            if expected not in (None, rows):
                problems.append(f"{name!r} has {rows} rows, the config's numbers make {expected}")
                continue
            segments[name] = tuple(_cut(name, rows, rule, numbers))
        problems = problems or _wrong_layers(segments, numbers)
        if problems:
            more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
            raise UserError(f"{where}: {'; '.join(problems[:5])}{more}; the weights do not belong to this config.json")
        has_head = any(segment.canonical == LM_HEAD for group in segments.values() for segment in group)
        return cls(architecture, layout, numbers, shapes, segments, roles, numbers.tied_embeddings or not has_head)

    @cached_property
    def by_canonical(self) -> dict[tuple[str, str | None], list[Segment]]:
        """The segments of each (canonical tensor, expert), in order of canonical rows."""
        index: dict[tuple[str, str | None], list[Segment]] = {}
        every = [segment for segments in self.segments.values() for segment in segments]
        for segment in sorted(every, key=lambda segment: segment.canonical_start):
            index.setdefault((segment.canonical, segment.expert), []).append(segment)
        return index


def _cut(name: str, rows: int, rule: NameRule, numbers: LanguageModelNumbers) -> Iterator[Segment]:
    if len(rule.parts) == 1:
        yield Segment(name, 0, rows, rule.parts[0], 0, rule.expert)
        return
    sizes = [_rows(part, numbers) or numbers.hidden_size for part in rule.parts]
    groups = numbers.kv_heads if rule.grouped else 1
    start = 0
    for group in range(groups):
        for part, size in zip(rule.parts, sizes, strict=True):
            height = size // groups
            yield Segment(name, start, start + height, part, group * height, rule.expert)
            start += height


def _expected_rows(rule: NameRule, numbers: LanguageModelNumbers) -> int | None:
    """How many rows a tensor should have by the config's numbers; None if they do not determine it."""
    sizes = [_rows(part, numbers) for part in rule.parts]
    return None if None in sizes else sum(size for size in sizes if size)


def _rows(canonical: str, numbers: LanguageModelNumbers) -> int | None:
    """How many rows a canonical tensor has by the config's numbers; None if they do not determine it."""
    match canonical.rsplit(".", 2)[-2] if canonical.count(".") > 1 else "":
        case "q_proj":
            return numbers.heads * numbers.head_dim
        case "k_proj" | "v_proj":
            return numbers.kv_heads * numbers.head_dim
        case "gate_proj" | "up_proj":
            return numbers.intermediate_size
        case "o_proj" | "down_proj" | "input_layernorm" | "post_attention_layernorm":
            return numbers.hidden_size
    return None


def _wrong_layers(segments: Mapping[str, tuple[Segment, ...]], numbers: LanguageModelNumbers) -> list[str]:
    names = {segment.canonical for group in segments.values() for segment in group}
    found = {int(name.split(".", 2)[1]) for name in names if name.startswith("layers.")}
    if len(found) == numbers.layers and found == set(range(len(found))):
        return []
    return [f"the config says {numbers.layers} layers, the weights have {len(found)}"]
