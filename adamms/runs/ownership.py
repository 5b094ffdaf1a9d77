"""A run folder belongs to one search: what it asked and chose by is kept in it, and another search is told from it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from adamms.errors import UserError
from adamms.runs.run_folder import RunFolder

REFINE = "searching.refine"
"""The one setting that may grow: further rounds go on where the last one ended."""
SHOWN, LONGEST = 4, 80


def must_give_way(run: RunFolder, same: Mapping[str, Any], force: bool) -> bool:
    """Whether the folder belongs to another search, whose results have to be set aside; one that found nothing yet has
    none.

    Args:
        same: everything that answers and choice depend on, by the names of settings where it is one.
        force: else another search's folder is refused.

    Raises:
        UserError: what differs, was and is.
    """
    found = any(file.exists() for file in (run.candidates, run.selection, run.sweep))
    different = differences(run.same, same) if found else []
    if different and not force:
        more = [f"and {len(different) - SHOWN} more"] if len(different) > SHOWN else []
        told = "; ".join([*different[:SHOWN], *more])
        raise UserError(
            f"run_dir={run.folder}: belongs to another search ({told}); give another run_dir, or --force, which sets "
            "aside what that one found"
        )
    return bool(different)


def as_stored(same: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a search itself, as it comes back from its file."""
    found: dict[str, Any] = json.loads(json.dumps(same))
    return found


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In what a search differs from the one that was there, in words; nothing where there was none. What makes up the
    lines of a search is compared line by line."""
    return list(_differences(before, now)) if before else []


def without_refine(same: Mapping[str, Any]) -> dict[str, Any]:
    """What stays the same in further rounds."""
    inner = {name: without_refine(value) if isinstance(value, Mapping) else value for name, value in same.items()}
    return {name: value for name, value in inner.items() if name != REFINE}


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], within: str = "") -> Iterator[str]:
    for name in {**before, **now}:
        was, is_now = before.get(name), now.get(name)
        if isinstance(was, Mapping) and isinstance(is_now, Mapping):
            yield from _differences(was, is_now, f"{within}{name}: ")
        elif was != is_now and not (name == REFINE and (is_now or [])[: len(was or [])] == (was or [])):
            yield f"{within}{name} was {_shown(was)}, now {_shown(is_now)}"


def _shown(value: Any) -> str:
    if value is None or isinstance(value, Mapping):
        return "there" if value else "not there"  # a line
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
