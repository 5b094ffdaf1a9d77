"""What the command arranges, seen without a search."""

from __future__ import annotations

from pathlib import Path

import pytest

import adamms.commands.search
from adamms.commands.settings import SearchSettings
from adamms.errors import UserError
from adamms.searching.budget import Budget
from adamms.searching.config import BudgetConfig, SearchingConfig


@pytest.mark.parametrize(
    ("preparing", "settings"),
    [
        ("prepare", SearchSettings(base="a", donor="b")),
        ("prepare_methods", SearchSettings(base="a", donor="b", searching=SearchingConfig(methods=("linear", "ties")))),
        ("prepare_weights", SearchSettings(base="a", donors=("b", "c"))),
    ],
)
def test_the_budget_s_clock_runs_while_models_are_opened(
    preparing: str, settings: SearchSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A download may take longer than all that comes after it."""
    happened = []

    def counted(config: BudgetConfig) -> Budget:
        happened.append("clock")
        return Budget(config)

    def opened(*_: object) -> None:
        happened.append("opened")
        raise UserError("so far")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(adamms.commands.search, "Budget", counted)
    monkeypatch.setattr(adamms.commands.search, preparing, opened)
    with pytest.raises(UserError, match="so far"):
        adamms.commands.search.search(settings)
    assert happened == ["clock", "opened"]
