"""An architecture: where a family of checkpoints keeps the rows of the canonical (LLaMA/Qwen2) tensors.

Architectures are data, one YAML file a family in `architectures/`; nothing here knows a family by name.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from adamms.errors import UserError
from adamms.support.files import expanded, read_regular

FOLDER = Path(__file__).with_name("architectures")
LARGEST = 1 << 20  # bytes of a description
EMBED_TOKENS, LM_HEAD = "embed_tokens.weight", "lm_head.weight"
PRESENT = "*"  # what stands for any value in `when`
ANY = "{name}"  # what stands for any rest of a tensor's name
FORMS = ("is", "concatenate", "grouped", "stack")


@dataclass(frozen=True)
class Layout:
    """The prefixes that checkpoints of one origin give to the language model's names.

    Attributes:
        model: what stands before `layers.0...`.
        head: what stands before `lm_head.weight`.
        library: whether transformers or vLLM reads them; else only their authors' code does.
    """

    origin: str
    model: str
    head: str
    library: bool = True


@dataclass(frozen=True)
class NameRule:
    """What the checkpoint tensors of one name hold.

    Attributes:
        parts: canonical tensors, whose rows follow one another.
        expert: which duplicate of a duplicated weight it is ('vision', 'text'); None where there is one weight.
        form: how the parts lie in the tensor, see architectures/README.md.
    """

    parts: tuple[str, ...]
    expert: str | None = None
    form: str = "is"


@dataclass(frozen=True)
class Architecture:
    """One family, as its YAML file describes it.

    Attributes:
        model_types, architectures: the `model_type` and the classes of the configs that it is recognised by.
        when: values that the config also has to have; `PRESENT` for any.
        rules: by tensor name, with {model}, {head} and {layer} for what varies, and {name} at its end for any rest.
        rows: 'checked' against the config's numbers, or 'free': attention or MLP have sizes of their own.
        dropped: tensors of the language model that never merge (buffers that follow from the config).
        kept: role -> prefixes of the tensors that stay the base's; in the language model's layers, with {layer}.
        numbers: numbers that the config has under another name, or multiplied by a factor.
        defaults: numbers that the config may omit.
        tokenizer: the model whose tokenizer it uses, where its checkpoints have none.
        chat_template: how it is asked, where its checkpoints do not say.
    """

    name: str
    title: str
    layouts: tuple[Layout, ...]
    rules: Mapping[str, NameRule]
    model_types: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    when: Mapping[str, Any] = field(default_factory=dict)
    rows: str = "checked"
    dropped: tuple[str, ...] = ()
    kept: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    numbers: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    tokenizer: str | None = None
    chat_template: str | None = None

    def layout_of(self, names: Iterable[str]) -> Layout | None:
        """The layout whose names the checkpoint has; the most specific one where several fit."""
        present = set(names)
        embeddings = [pattern for pattern, rule in self.rules.items() if rule.parts == (EMBED_TOKENS,)]
        fitting = (
            layout for layout in self.layouts if any(_fill(pattern, layout) in present for pattern in embeddings)
        )
        return max(fitting, key=lambda layout: len(layout.model), default=None)

    def describes(self, config: Mapping[str, Any], names: Iterable[str]) -> bool:
        """Whether a config has the values in `when`, and the tensors have the family's names."""
        fits = all(
            config.get(key) == value or (value == PRESENT and config.get(key) is not None)
            for key, value in self.when.items()
        )
        return fits and self.layout_of(names) is not None


class RuleMatcher:
    """Finds the rule for a tensor name, in one layout of an architecture."""

    def __init__(self, architecture: Architecture, layout: Layout) -> None:
        filled = {_fill(pattern, layout): rule for pattern, rule in architecture.rules.items()}
        self._rules = {pattern: rule for pattern, rule in filled.items() if not pattern.endswith(ANY)}
        self._rests = {pattern.removesuffix(ANY): rule for pattern, rule in filled.items() if pattern.endswith(ANY)}
        self._dropped = {_fill(pattern, layout) for pattern in architecture.dropped}
        self._kept = [(_fill(start, layout), role) for role, starts in architecture.kept.items() for start in starts]
        self._stacks = {pattern.partition("{layer}")[0] for pattern in filled if "{layer}" in pattern}

    def match(self, name: str) -> NameRule | None:
        """The rule for a tensor name, with the layer's number filled in; None if there is none."""
        for pattern, layer in _patterns(name):
            rule = self._rules.get(pattern)
            if rule is not None:
                return _with_layer(rule, layer)
        if self.drops(name) or self.kept_role(name):
            return None
        for pattern, layer in _patterns(name):
            for start, rule in self._rests.items():
                if pattern.startswith(start):
                    return _with_layer(rule, layer, pattern.removeprefix(start))
        return None

    def kept_role(self, name: str) -> str | None:
        """Which part that stays the base's a tensor belongs to ('vision', 'projector', ...), by longest prefix."""
        patterns = [pattern for pattern, _ in _patterns(name)]
        fitting = [
            (len(start), role) for start, role in self._kept if any(pattern.startswith(start) for pattern in patterns)
        ]
        return max(fitting)[1] if fitting else None

    def drops(self, name: str) -> bool:
        """Whether a tensor of this name is in `dropped`."""
        return any(pattern in self._dropped for pattern, _ in _patterns(name))

    def layer(self, name: str) -> int | None:
        """The number of the language model's layer that a tensor lies in; None if it lies in none."""
        for stack in self._stacks:
            number = name.removeprefix(stack).partition(".")[0] if name.startswith(stack) else ""
            if number.isascii() and number.isdecimal() and len(number) < 6:
                return int(number)
        return None


@lru_cache
def known_architectures() -> dict[str, Architecture]:
    """Every architecture that ships with the package, by name."""
    found = (load_architecture(path) for path in sorted(FOLDER.glob("*.yaml")))
    return {architecture.name: architecture for architecture in found}


def load_architecture(path: Path) -> Architecture:
    """One architecture from its YAML file.

    Raises:
        UserError: the file is missing, or has unknown or malformed keys.
    """
    try:
        return _parse(yaml.safe_load(read_regular(path, LARGEST)))
    except Exception as error:  # the YAML library raises whatever its constructors meet
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path}: not an architecture file ({type(error).__name__}: {reason}); compare one of {FOLDER}"
        ) from None


def named_architecture(name: str) -> Architecture:
    """The architecture of that name, or of that YAML file.

    Raises:
        UserError: there is neither.
    """
    if name.endswith((".yaml", ".yml")):
        return load_architecture(expanded(name))
    known = known_architectures()
    if name not in known:
        raise UserError(
            f"mapping: unknown architecture {name!r}; known are {', '.join(known)}, or give the path of a YAML file"
        )
    return known[name]


def recognise(config: Mapping[str, Any], names: Iterable[str]) -> Architecture | None:
    """The known architecture that fits a model's config and tensor names, by its class first, then by its `model_type`.

    If several fit, the one with the most conditions on the config (`when`) is taken.
    """
    names = set(names)
    classes = config.get("architectures")
    classes = {c for c in classes if isinstance(c, str)} if isinstance(classes, list) else set()
    known = known_architectures().values()
    for candidates in (
        [a for a in known if classes & set(a.architectures)],
        [a for a in known if config.get("model_type") in a.model_types],
    ):
        fitting = [a for a in candidates if a.describes(config, names)]
        if fitting:
            return max(fitting, key=lambda a: len(a.when))
    return None


def is_authors_own(architecture: str, origin: str) -> bool:
    """Whether no library reads checkpoints of this origin; the names are those in a `ModelIdentity`."""
    known = known_architectures().get(architecture)
    return known is not None and any(one.origin == origin and not one.library for one in known.layouts)


def text_defaults() -> Mapping[str, Mapping[str, Any]]:
    """Numbers that a nested text configuration may omit, by its `model_type`."""
    return _read_yaml(FOLDER / "language_models" / "defaults.yaml")


def _parse(data: dict[str, Any]) -> Architecture:
    known = {field.name for field in fields(Architecture)} - {"rules"} | {"language_model", "tensors"}
    unknown = set(data) - known
    if unknown:
        raise ValueError(f"unknown keys {sorted(unknown)}")
    tables = [_table(name) for name in data["language_model"]]
    tensors = {pattern: value for table in tables for pattern, value in table["tensors"].items()}
    dropped = [pattern for table in tables for pattern in table["dropped"]]
    architecture = Architecture(
        name=_text(data, "name"),
        title=_text(data, "title"),
        model_types=tuple(data.get("model_types", ())),
        architectures=tuple(data.get("architectures", ())),
        when=dict(data.get("when", {})),
        rows=data.get("rows", "checked"),
        layouts=tuple(Layout(**layout) for layout in data["layouts"]),
        rules=_parse_rules({**tensors, **data.get("tensors", {})}),
        dropped=(*dropped, *data.get("dropped", ())),
        kept={role: tuple(prefixes) for role, prefixes in data.get("kept", {}).items()},
        numbers=dict(data.get("numbers", {})),
        defaults=dict(data.get("defaults", {})),
        tokenizer=_text(data, "tokenizer") if "tokenizer" in data else None,
        chat_template=_text(data, "chat_template") if "chat_template" in data else None,
    )
    if not architecture.layouts:
        raise ValueError("no layouts")
    if architecture.rows not in ("checked", "free"):
        raise ValueError(f"rows: expected checked or free, found {architecture.rows!r}")
    return architecture


def _text(data: Mapping[str, Any], key: str) -> str:
    if not isinstance(data[key], str):
        raise ValueError(f"{key}: expected text, found {data[key]!r}")
    return str(data[key])


def _table(name: str) -> dict[str, Any]:
    """A language model's names, with those of the tables that it includes."""
    path = FOLDER / "language_models" / f"{name}.yaml"
    if not path.is_file():
        known = sorted(one.stem for one in path.parent.glob("*.yaml") if one.stem != "defaults")
        raise ValueError(f"language_model: no {name!r}; known are {', '.join(known)}")
    table = _read_yaml(path)
    tensors: dict[str, Any] = {}
    dropped: list[str] = []
    for included in table.get("includes", ()):
        tensors |= _table(included)["tensors"]
        dropped += _table(included)["dropped"]
    return {"tensors": tensors | table["tensors"], "dropped": dropped + list(table.get("dropped", ()))}


@lru_cache
def _read_yaml(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def _parse_rules(tensors: Mapping[str, Any]) -> dict[str, NameRule]:
    return {pattern: _parse_rule(pattern, value) for pattern, value in tensors.items()}


def _parse_rule(pattern: str, value: Any) -> NameRule:
    if value is None:
        return NameRule((pattern.removeprefix("{model}"),))
    if isinstance(value, str):
        return NameRule((value,))
    forms = set(FORMS) & set(value)
    if len(forms) != 1 or set(value) - forms - {"expert"}:
        raise ValueError(f"{pattern}: expected one of {'/'.join(FORMS)} and perhaps expert, found {sorted(value)}")
    form = forms.pop()
    parts = (value[form],) if form == "is" else tuple(value[form])
    if not all(isinstance(part, str) for part in parts):
        raise ValueError(f"{pattern}: expected canonical names, found {parts!r}")
    return NameRule(parts, value.get("expert"), form)


def _with_layer(rule: NameRule, layer: str, rest: str = "") -> NameRule:
    parts = tuple(part.replace("{layer}", layer).replace(ANY, rest) for part in rule.parts)
    return NameRule(parts, rule.expert, rule.form)


def _fill(pattern: str, layout: Layout) -> str:
    return pattern.replace("{model}", layout.model).replace("{head}", layout.head)


def _patterns(name: str) -> Iterator[tuple[str, str]]:
    """Patterns that a name may match, each with the layer's number: the name itself, then each number as `{layer}`."""
    yield name, ""
    parts = name.split(".")
    for i, part in enumerate(parts):
        if part.isascii() and part.isdecimal() and len(part) < 6:
            yield ".".join([*parts[:i], "{layer}", *parts[i + 1 :]]), part
