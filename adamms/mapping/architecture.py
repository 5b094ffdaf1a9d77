"""An architecture: where a family of checkpoints keeps the rows of the canonical (LLaMA/Qwen2) tensors.

Architectures are data, one YAML file a family in `architectures/`; nothing here knows a family by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from adamms.errors import UserError

FOLDER = Path(__file__).with_name("architectures")


@dataclass(frozen=True)
class Layout:
    """The prefixes that checkpoints of one origin give to the language model's names."""

    origin: str
    model: str
    head: str


@dataclass(frozen=True)
class Rule:
    """What one checkpoint tensor holds: canonical tensors one below the other (`parts`), for one `expert` or for all.

    `grouped`: the parts are q, k and v interleaved by key-value head (InternLM2) instead of one after the other.
    """

    parts: tuple[str, ...]
    expert: str | None = None
    grouped: bool = False


@dataclass(frozen=True)
class Architecture:
    """One family, as its YAML file describes it."""

    name: str
    title: str
    model_types: tuple[str, ...]
    architectures: tuple[str, ...]
    layouts: tuple[Layout, ...]
    rules: Mapping[str, Rule]
    dropped: tuple[str, ...] = ()
    kept: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def layout_of(self, names: Iterable[str]) -> Layout | None:
        """The layout whose names the checkpoint has; the most specific one where several fit."""
        present = set(names)
        embeddings = [pattern for pattern, rule in self.rules.items() if rule.parts == ("embed_tokens.weight",)]
        fitting = [
            layout for layout in self.layouts if any(_fill(pattern, layout) in present for pattern in embeddings)
        ]
        return max(fitting, key=lambda layout: len(layout.model), default=None)

    def kept_role(self, name: str) -> str | None:
        """Which part outside the language model a tensor belongs to ('vision', 'projector', ...), by longest prefix."""
        prefixes = [(len(p), role) for role, group in self.kept.items() for p in group if name.startswith(p)]
        return max(prefixes)[1] if prefixes else None


class RuleMatcher:
    """The rules of an architecture, made ready for the names of one layout."""

    def __init__(self, architecture: Architecture, layout: Layout) -> None:
        self._rules = {_fill(pattern, layout): rule for pattern, rule in architecture.rules.items()}
        self._dropped = {_fill(pattern, layout) for pattern in architecture.dropped}

    def match(self, name: str) -> Rule | None:
        """The rule of a tensor name, with layer numbers filled in; None if no rule names it."""
        pattern, layer = _generalise(name)
        for candidate in (name, pattern):
            rule = self._rules.get(candidate)
            if rule is not None:
                return Rule(tuple(p.replace("{layer}", layer) for p in rule.parts), rule.expert, rule.grouped)
        return None

    def drops(self, name: str) -> bool:
        """Whether the family leaves this tensor out of a merge on purpose."""
        return name in self._dropped or _generalise(name)[0] in self._dropped


@lru_cache
def known_architectures() -> dict[str, Architecture]:
    """Every architecture that ships with the package, by name."""
    found = (load_architecture(path) for path in sorted(FOLDER.glob("*.yaml")))
    return {architecture.name: architecture for architecture in found}


def load_architecture(path: Path) -> Architecture:
    """One architecture from its YAML file.

    Raises:
        UserError: the file is missing, or says something an architecture has no place for.
    """
    try:
        return _parse(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not an architecture file ({type(error).__name__}: {error})") from None


def recognise(config: Mapping[str, Any], names: Iterable[str]) -> Architecture | None:
    """The known architecture of a model: its class decides before its `model_type`, and its names have to fit."""
    names = list(names)
    classes = config.get("architectures") or []
    candidates = [a for a in known_architectures().values() if set(a.architectures) & set(classes)]
    candidates += [a for a in known_architectures().values() if config.get("model_type") in a.model_types]
    return next((a for a in candidates if a.layout_of(names) is not None), None)


def _parse(data: dict[str, Any]) -> Architecture:
    table = yaml.safe_load((FOLDER / "language_models" / f"{data['language_model']}.yaml").read_text(encoding="utf-8"))
    unknown = set(data) - {
        "name", "title", "model_types", "architectures", "language_model", "layouts", "tensors", "dropped", "kept",
    }  # fmt: skip
    if unknown:
        raise ValueError(f"unknown keys {sorted(unknown)}")
    rules = {**table["tensors"], **data.get("tensors", {})}
    return Architecture(
        name=data["name"],
        title=data["title"],
        model_types=tuple(data.get("model_types", ())),
        architectures=tuple(data.get("architectures", ())),
        layouts=tuple(Layout(**layout) for layout in data["layouts"]),
        rules={pattern: _parse_rule(pattern, value) for pattern, value in rules.items()},
        dropped=(*table.get("dropped", ()), *data.get("dropped", ())),
        kept={role: tuple(prefixes) for role, prefixes in data.get("kept", {}).items()},
    )


def _parse_rule(pattern: str, value: Any) -> Rule:
    if value is None:
        return Rule((pattern.removeprefix("{model}"),))
    if isinstance(value, str):
        return Rule((value,))
    forms = {"is", "concatenate", "grouped"} & set(value)
    if len(forms) != 1 or set(value) - forms - {"expert"}:
        raise ValueError(f"{pattern}: expected one of is/concatenate/grouped and perhaps expert, found {sorted(value)}")
    form = forms.pop()
    parts = (value[form],) if form == "is" else tuple(value[form])
    return Rule(parts, value.get("expert"), form == "grouped")


def _fill(pattern: str, layout: Layout) -> str:
    return pattern.replace("{model}", layout.model).replace("{head}", layout.head)


_LAYER = re.compile(r"(?<=layers\.)(\d+)(?=\.)")


def _generalise(name: str) -> tuple[str, str]:
    """A tensor name with its layer number replaced by {layer}, and the number."""
    match = _LAYER.search(name)
    return (name, "") if match is None else (_LAYER.sub("{layer}", name, count=1), match.group(1))
