"""Files that take the place of a checkpoint's own."""

import json
from typing import Any

Files = dict[str, str]
"""Name -> text."""


def as_text(value: Any) -> str:
    """A JSON file's."""
    return json.dumps(value, indent=2) + "\n"
