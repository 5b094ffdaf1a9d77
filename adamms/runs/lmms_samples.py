"""Answers logged by lmms-eval (`--log_samples`): `*_samples_<task>.jsonl`, one folder or file for each alpha.

A line has `doc_id` and `filtered_resps` or `resps`, and does not say which alpha it belongs to. That is read from, in
this order: an `alpha` in the line; an `alpha.json` holding `{"alpha": 0.3}` beside the file or in a folder above it;
the name of the file or of a folder above it when it is exactly `alpha_0.3`, `alpha-0.3` or `0.3`. Nothing else in a
name is taken for an alpha: `llava-v1.5` says nothing.
"""

import json
import re
from pathlib import Path
from typing import Any

SIDECAR = "alpha.json"

_NAMED = re.compile(r"alpha[_-](\d+(?:\.\d+)?)|([01]\.\d+)")
_TASK = re.compile(r"(?:^|_)samples_(.+)$")


def is_sample(fields: dict[str, Any]) -> bool:
    """Whether a row was logged by lmms-eval rather than written for us."""
    return "doc_id" in fields and "response" not in fields and ("filtered_resps" in fields or "resps" in fields)


class SampleReader:
    """Turns the rows of one samples file into plain ones."""

    def __init__(self, file: Path, root: Path) -> None:
        self._file = file
        self._alpha = _alpha_of(file, root)
        named = _TASK.search(file.stem)
        self._task = named.group(1) if named else file.stem

    def plain(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The row as `alpha`, `prompt_id` (`task/doc_id`) and `response`.

        Raises:
            ValueError: what could not be found, in words.
        """
        flavour, alpha = fields.get("filter"), fields.get("alpha", self._alpha)
        task = self._task if flavour in (None, "none") else f"{self._task}/{flavour}"
        response = _text(fields.get("filtered_resps"))
        response = _text(fields.get("resps")) if response is None else response
        missing = []
        if alpha is None:
            missing.append(
                "nothing says which alpha these lmms-eval samples have; put them in a folder named like alpha_0.3, "
                f'or write {{"alpha": 0.3}} to {self._file.parent / SIDECAR}'
            )
        if response is None:
            missing.append("resps holds no single text answer")
        if missing:
            raise ValueError(", ".join(missing))
        return {"alpha": alpha, "prompt_id": f"{task}/{fields['doc_id']}", "response": response}


def _alpha_of(file: Path, root: Path) -> Any:
    """The alpha that a sidecar or a name gives to a file; the nearest one counts; names above `root` do not."""
    inside = [folder for folder in file.parents if folder == root or root in folder.parents]
    for folder in inside or [file.parent]:
        alpha = _sidecar(folder / SIDECAR)
        if alpha is not None:
            return alpha
    for name in [file.stem, *(folder.resolve().name for folder in inside)]:
        named = _NAMED.fullmatch(name)
        if named:
            return float(named.group(1) or named.group(2))
    return None


def _sidecar(file: Path) -> Any:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content.get("alpha") if isinstance(content, dict) else None


def _text(resps: Any) -> str | None:
    """The text in lmms-eval's nested lists of one."""
    while isinstance(resps, list) and len(resps) == 1:
        resps = resps[0]
    return resps if isinstance(resps, str) else None
