"""Judging a search: only by its own settings."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from adamms.commands.evaluate import check_same
from adamms.errors import UserError
from adamms.runs.run_folder import RunFolder

ASKED = {"base": "b1", "merging.method": "linear", "engine.max_tokens": 16, "engine.stop": []}


def study(**changed: Any) -> Any:
    return SimpleNamespace(asked=lambda: ASKED | changed)


def test_candidates_are_judged_as_they_were_searched(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    check_same(run, study())
    run.describe("key", "name", {}, same=ASKED | {"searching.alphas": [0.1]})
    check_same(run, study())
    told = r"engine.max_tokens was 16, now 32\); give those of the search"
    with pytest.raises(UserError, match=rf"is of a search with other settings \({told}.*settings.yaml has them"):
        check_same(run, study(**{"engine.max_tokens": 32}))


@pytest.mark.parametrize("lines", ["searching.methods", "lines"])
def test_of_several_lines_each_is_judged_by_itself(tmp_path: Path, lines: str) -> None:
    run = RunFolder(tmp_path)
    run.describe("key", "name", {}, same={lines: {"linear": ASKED}})
    with pytest.raises(UserError, match="labels judge one of its lines: take the settings"):
        check_same(run, study())
