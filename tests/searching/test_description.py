from __future__ import annotations

import sys

import pytest

from adamms.commands.settings import SearchSettings
from adamms.searching.description import search_name, search_parameters, settings_text
from adamms.tracking.config import TrackingConfig
from tests.support.searches import made_up_plan


def test_a_password_in_an_address_is_not_for_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings and command go into the report, which people mail."""
    uri = "https://me:secret'@/@host:5000"
    monkeypatch.setattr(sys, "argv", ["pipelines/search.py", f"tracking.uri={uri}"])
    command, settings = settings_text(SearchSettings("base", "donor", tracking=TrackingConfig(uri=uri)))
    assert command == "python pipelines/search.py 'tracking.uri=https://***@host:5000'"
    assert "secret" not in settings
    assert settings.count("https://***@host:5000") == 1


@pytest.mark.parametrize("program", ["/home/me/.venv/bin/adamms", "/home/me/adamms/__main__.py"])
def test_the_command_is_as_it_was_typed(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(sys, "argv", [program, "search", "--config", "my pair.yaml"])
    command, _ = settings_text(SearchSettings("base", "donor"))
    assert command == "adamms search --config 'my pair.yaml'"


def test_what_a_search_is_called_and_described_by() -> None:
    settings = SearchSettings("org/base@main", "models/donor/")
    params = search_parameters(settings, made_up_plan())
    assert search_name(params | {"task": "fruit"}) == "donor into base, fruit"
    assert search_name(params | {"task": ""}) == "donor into base"
    assert (params["base_revision"], params["donor_revision"]) == ("main", "d" * 16)
    assert params["coefficient"] == "alpha"
    assert all(isinstance(value, str) for value in params.values())
