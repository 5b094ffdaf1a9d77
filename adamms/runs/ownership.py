"""A run folder belongs to one search: what it asked and chose by is kept in it, and another search is told from it."""

import json
from collections.abc import Mapping
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
    different = differences((run.read(run.about) or {}).get("same") or {}, same) if found else []
    if different and not force:
        more = [f"and {len(different) - SHOWN} more"] if len(different) > SHOWN else []
        told = "; ".join([*different[:SHOWN], *more])
        raise UserError(
            f"run_dir={run.folder}: belongs to another search ({told}); give another run_dir, or --force, which sets "
            "aside what that one found"
        )
    return bool(different)


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In what a search differs from the one that was there, in words; nothing where there was none."""
    changed = [name for name in {**before, **now} if before and before.get(name) != now.get(name)]
    if REFINE in changed and now.get(REFINE, [])[: len(before.get(REFINE, []))] == before.get(REFINE):
        changed.remove(REFINE)
    return [f"{name} was {_shown(before.get(name))}, now {_shown(now.get(name))}" for name in changed]


def _shown(value: Any) -> str:
    text = "not there" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
