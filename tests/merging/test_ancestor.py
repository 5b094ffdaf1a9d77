"""The ancestor that cards name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from adamms.errors import UserError
from adamms.mapping.config import PairSettings
from adamms.merging.ancestor import ancestor_by_cards, base_models, with_ancestor
from adamms.merging.recipe import Recipe
from tests.support.tiny_models import TinyPair


@pytest.fixture
def cards(tiny_pair: TinyPair, tmp_path: Path) -> PairSettings:
    """Copies of base and donor, with cards that name what both were made from, and one thing besides."""
    for name, others in {"base": "[lab/vision, lab/language]", "donor": "lab/language"}.items():
        folder = shutil.copytree(getattr(tiny_pair, name), tmp_path / name)
        (folder / "README.md").write_text(f"---\nbase_model: {others}\n---\n# {name}\n")
    return PairSettings(base=str(tmp_path / "base"), donor=str(tmp_path / "donor"))


def test_the_model_that_all_cards_name_is_the_ancestor(cards: PairSettings, capsys: pytest.CaptureFixture[str]) -> None:
    found = with_ancestor(cards, Recipe("ties", alpha=0.5))
    assert found.ancestor == "lab/language"
    assert "ancestor: lab/language, which the cards of all models name" in capsys.readouterr().err
    assert with_ancestor(cards, Recipe("linear", alpha=0.5)).ancestor is None, "not needed"
    given = PairSettings(base=cards.base, donor=cards.donor, ancestor="mine")
    assert with_ancestor(given, Recipe("ties", alpha=0.5)).ancestor == "mine"
    assert with_ancestor(given, Recipe("linear", alpha=0.5)).ancestor is None


@pytest.mark.parametrize("told", ["lab/other", "[lab/language, lab/vision]", "{lab: language}", "../language"])
def test_cards_that_do_not_name_one_say_nothing(cards: PairSettings, told: str) -> None:
    (Path(cards.donor) / "README.md").write_text(f"---\nbase_model: {told}\n---\n")
    assert ancestor_by_cards(cards) is None
    with pytest.raises(UserError, match="which the cards of the models do not name: name it with --ancestor"):
        with_ancestor(cards, Recipe("ties", alpha=0.5))


def test_only_ids_of_the_hub_count() -> None:
    assert base_models(["a/b", "/etc/passwd", "https://a/b", "../a/b", 3, None, "a/b@main"]) == ["a/b", "a/b@main"]
    assert base_models(None) == []
