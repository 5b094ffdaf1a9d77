"""JSON files of a checkpoint: config, index, tokenizer."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adamms.errors import UserError


def read_json(path: Path, hook: Callable[[list[tuple[str, Any]]], Any] | None = None) -> dict[str, Any]:
    """A JSON object from a file.

    Args:
        hook: as `object_pairs_hook` of `json.loads`.

    Raises:
        UserError: the file is missing or is not a JSON object (NaN is not JSON).
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=hook, parse_constant=_constant)
    except FileNotFoundError:
        raise UserError(f"{path}: not found; is {path.parent} a Hugging Face checkpoint folder?") from None
    except (ValueError, RecursionError, OSError) as error:
        raise UserError(f"{path}: not readable as JSON ({error}); download it again") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value


def _constant(name: str) -> float:
    if name == "NaN":
        raise ValueError("it holds a NaN")
    return float(name)
