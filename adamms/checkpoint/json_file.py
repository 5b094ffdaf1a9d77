"""JSON files of a checkpoint: config, index, tokenizer."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adamms.checkpoint.lfs import refuse_pointer
from adamms.errors import UserError
from adamms.support.files import read_regular

LARGEST = 1 << 28  # bytes; tokenizers of 250,000 tokens have 35 million


def read_json(path: Path, hook: Callable[[list[tuple[str, Any]]], Any] | None = None) -> dict[str, Any]:
    """A JSON object from a file.

    Args:
        hook: as `object_pairs_hook` of `json.loads`.

    Raises:
        UserError: the file is missing, no regular file, too large, or not a JSON object (NaN is not JSON).
    """
    try:
        data = read_regular(path, LARGEST)
        refuse_pointer(path, data)
        value = json.loads(data.decode("utf-8"), object_pairs_hook=hook, parse_constant=_constant)
    except FileNotFoundError:
        raise UserError(f"{path}: not found; is {path.parent} a Hugging Face checkpoint folder?") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); mend the file or its permissions") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not readable as JSON ({error}); download it again") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value


def _constant(name: str) -> float:
    if name == "NaN":
        raise ValueError("it holds a NaN")
    return float(name)
