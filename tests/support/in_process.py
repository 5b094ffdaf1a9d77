"""Runs a search in this process, as its pipeline does, and reads what it leaves."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from pipelines import search


def run(monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], *more: str, status: int = 0) -> None:
    file = Path(settings["run_dir"]).with_suffix(".json")
    file.write_text(json.dumps(settings))
    monkeypatch.setattr(sys, "argv", ["search", "--config", str(file), *more])
    with pytest.raises(SystemExit) as ended:
        search.main()
    assert (ended.value.code or 0) == status


def leave_foreign_result(folder: Path) -> None:
    """Puts what AdaMMS did not write where a search in this folder would put its winner."""
    foreign = folder / "merged" / "notes.txt"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("mine")


def selection_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "selection.json").read_text())
    return found
