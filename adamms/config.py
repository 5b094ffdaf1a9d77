"""Loading settings: typed defaults, then a YAML file, then `key=value` arguments; checked once."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from adamms.errors import UserError

Settings = TypeVar("Settings")


def load_settings(kind: type[Settings], path: Path | None, overrides: list[str], *given: dict[str, Any]) -> Settings:
    """Defaults, then a YAML file, then what is given, in order, then what the command line says; checked once.

    Raises:
        UserError: no such file, an unknown key, a value of the wrong type, or a missing one.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    bad = [text for text in overrides if "=" not in text or text.startswith("=")]
    if bad:
        raise UserError(f"{bad[0]!r}: expected key=value")
    layers = [load_yaml(path)] if path is not None else []
    try:
        found = [OmegaConf.create(layer) for layer in (*layers, *given)]
        found = [_off_is_a_word(layer) for layer in (*found, OmegaConf.from_dotlist(overrides))]
        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), *found))  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise UserError(f"{path or 'settings'}: {_explain(error)}") from None
    except Exception as error:  # YAML syntax errors in key=value come from the parser
        raise UserError(f"{path or 'settings'}: {str(error).splitlines()[0]}") from None


def load_yaml(path: Path) -> dict[str, Any]:
    """The settings in a file, as they stand there.

    Raises:
        UserError: no such file, or not YAML.
    """
    from omegaconf import OmegaConf

    if not path.is_file():
        raise UserError(f"{path}: no such file; give a YAML file such as conf/demo.yaml")
    try:
        found = OmegaConf.load(path)
        plain = OmegaConf.to_container(found)
    except Exception as error:  # of the YAML parser, of OmegaConf
        raise UserError(f"{path}: {str(error).splitlines()[0]}") from None
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
    """All settings, defaults included, as a file that `--config` takes."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.structured(settings))


def _off_is_a_word(layer: Any) -> Any:
    """YAML reads `off` as false; where a check is meant, it is a word again."""
    from omegaconf import DictConfig

    mapping = layer.get("mapping") if isinstance(layer, DictConfig) else None
    if isinstance(mapping, DictConfig):
        for key in [key for key in mapping if str(key).endswith("_check") and mapping[key] is False]:
            mapping[key] = "off"
    return layer


def _explain(error: Any) -> str:
    lines = str(error).splitlines()
    key = getattr(error, "full_key", None)
    moved = getattr(getattr(error, "object_type", None), "MOVED", {}).get(getattr(error, "key", None))
    if moved:
        return f"{key}: is now called {moved}"
    return f"{key}: {lines[0]}" if key else lines[0]
