"""Loading settings: typed defaults, then a YAML file, then `key=value` arguments; checked once."""

import ast
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from adamms.addresses import masked
from adamms.errors import UserError, first_line

Settings = TypeVar("Settings")
SHIPPED = Path(__file__).parent / "demo"
"""Where the pair that AdaMMS ships lies: `${shipped:NAME}` in YAML is a path in it, `--config NAME` its NAME.yaml."""


def load_settings(kind: type[Settings], path: Path | None, overrides: list[str], *given: Mapping[str, Any]) -> Settings:
    """Defaults, then a YAML file, then what is given, in order, then what the command line says; checked once.

    Raises:
        UserError: no such file, an unknown key, a value of the wrong type, or a missing one.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    OmegaConf.register_resolver("shipped", lambda name: str(SHIPPED / name), replace=True, annotation_validation="off")
    bad = [text for text in overrides if "=" not in text or text.startswith("=")]
    if bad:
        raise UserError(f"{bad[0]!r}: expected key=value")
    layers: list[tuple[str, Any]] = [(str(path), load_yaml(path))] if path is not None else []
    layers += [("settings", layer) for layer in given]
    settings, where = OmegaConf.structured(kind), str(path or "settings")
    try:
        for source, layer in [*layers, *((text, None) for text in overrides)]:
            where = source
            found = OmegaConf.from_dotlist([source]) if layer is None else OmegaConf.create(layer)
            settings = OmegaConf.merge(settings, _off_is_a_word(found))
        where = str(path or "settings")
        return OmegaConf.to_object(settings)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise UserError(_blame(where, _explain(error), overrides)) from None
    except Exception as error:  # YAML syntax errors in key=value come from the parser
        raise UserError(_blame(where, first_line(error), overrides)) from None


def load_yaml(path: Path) -> dict[str, Any]:
    """The settings in a file, as they stand there; a name without a suffix is a file that AdaMMS ships.

    Raises:
        UserError: no such file, or not YAML.
    """
    from omegaconf import OmegaConf

    shipped = SHIPPED / f"{path}.yaml"
    file = shipped if not path.exists() and path.name == str(path) and shipped.is_file() else path
    if not file.is_file():
        raise UserError(f"{path}: no such file; give a YAML file such as conf/demo.yaml, or `demo`, which is shipped")
    try:
        plain = OmegaConf.to_container(OmegaConf.load(file))
    except Exception as error:  # of the YAML parser, of OmegaConf
        raise UserError(f"{path}: {first_line(error)}") from None
    if not isinstance(plain, dict):
        raise UserError(f"{path}: expected settings, key: value")
    return {str(key): value for key, value in plain.items()}


def plain(settings: Any) -> dict[str, Any]:
    """Settings as plain data."""
    from omegaconf import OmegaConf

    found = OmegaConf.to_container(OmegaConf.structured(settings))
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


def settings_yaml(settings: Any) -> str:
    """All settings, defaults included, as a file that `--config` takes; without the secrets of addresses in them."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(masked(plain(settings))))


@dataclass(frozen=True)
class Setting:
    """One setting as a person looks it up.

    Attributes:
        key: as it is given, such as `prompts.n`.
        kind: its type, or the words it may be.
        default: as it would be given; empty where it has to be given.
    """

    key: str
    kind: str
    default: str
    text: str


def describe(kind: type, prefix: str = "", defaults: Any = None) -> Iterator[Setting]:
    """Every setting of a command, from the classes themselves: the text below each field says what it does.

    Args:
        defaults: an instance of `kind`, of a command whose defaults are not the class's own.
    """
    hints, texts = get_type_hints(kind), _texts(kind)
    for field in fields(kind):
        hint, key = hints[field.name], prefix + field.name
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        default = default if defaults is None else getattr(defaults, field.name)
        if is_dataclass(hint) and isinstance(hint, type):
            yield from describe(hint, f"{key}.", None if default is MISSING else default)
            continue
        yield Setting(key, _kind(hint), "" if default is MISSING else _spelled(default), texts.get(field.name, ""))


def _texts(kind: type) -> dict[str, str]:
    """Field -> the text below it, in a class and those that it extends."""
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        if not is_dataclass(one):
            continue
        (tree,) = ast.parse(dedent(inspect.getsource(one))).body
        assert isinstance(tree, ast.ClassDef)
        for field, below in zip(tree.body, tree.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
            ):
                assert isinstance(field.target, ast.Name)
                found[field.target.id] = " ".join(str(below.value.value).split())
    return found


def _kind(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return " | ".join(get_args(hint) or hint)
    return (
        hint.__name__ if isinstance(hint, type) and not hasattr(hint, "__args__") else str(hint).replace("typing.", "")
    )


def _spelled(default: Any) -> str:
    """A value as it would be given on the command line."""
    if isinstance(default, tuple):
        return f"[{','.join(map(_spelled, default))}]"
    if default is None or isinstance(default, bool):
        return {None: "null", True: "true", False: "false"}[default]
    return str(default) if default != "" else '""'


def _off_is_a_word(layer: Any) -> Any:
    """YAML reads `off` as false; where a check is meant, it is a word again."""
    from omegaconf import DictConfig

    mapping = layer.get("mapping") if isinstance(layer, DictConfig) else None
    if isinstance(mapping, DictConfig):
        for key in [key for key in mapping if str(key).endswith("_check") and mapping[key] is False]:
            mapping[key] = "off"
    return layer


def _blame(where: str, reason: str, overrides: list[str]) -> str:
    """What is wrong, after what is to be mended: the override that the reason speaks of, else the file; named once."""
    words = reason.replace("=", ":").split(":")[0]
    of_override = next((text for text in reversed(overrides) if text.partition("=")[0] == words), None)
    if of_override is None:
        return f"{where}: {reason}"
    told = reason.removeprefix(of_override).removeprefix(words).lstrip(": ")
    return f"{of_override}: {told}"


def _explain(error: Any) -> str:
    lines = str(error).replace("Value '$VALUE' of type '$VALUE_TYPE'", "one of its values").splitlines()
    key = getattr(error, "full_key", None)
    moved = getattr(getattr(error, "object_type", None), "MOVED", {}).get(getattr(error, "key", None))
    if moved:
        return f"{key}: is now called {moved}"
    return f"{key}: {lines[0]}" if key else lines[0]
