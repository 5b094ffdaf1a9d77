"""A search under way: what is measured beside the answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adamms.commands.settings import SearchSettings
from adamms.config import load_settings
from adamms.engines.engine import Answer
from adamms.searching.budget import UNLIMITED
from adamms.searching.events import Events
from adamms.searching.line import Line, reach
from adamms.searching.parents import ParentScores
from adamms.searching.preparing import Search, prepare
from tests.support.tiny_models import TinyPair


def stored_search(pair: TinyPair, prompt_file: Path, folder: Path, **searching: Any) -> Search:
    """One whose candidates have answered, the surer the lower their alpha."""
    given = {"base": str(pair.base), "donor": str(pair.donor), "run_dir": str(folder / "run")}
    own = {"prompts": {"path": str(prompt_file)}, "engine": {"kind": "transformers"}, "searching": searching}
    search = prepare(load_settings(SearchSettings, None, [], given, own))
    for value, sure in ((0.0, -0.1), (0.2, -0.2), (0.4, -0.3), (0.6, -0.4)):
        answers = [Answer(prompt.id, prompt.id, (1,), "stop", (sure,)) for prompt in search.prompts]
        search.answers.save(value, search.prompts, answers)
    return search


@pytest.mark.parametrize("donor_asked", [False, True])
def test_noise_is_measured_at_the_choice_unless_a_donor_has_the_engines(
    donor_asked: bool, tiny_pair: TinyPair, prompt_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The donor cannot score here, or all scores are stored: the base's engines are up until the choice."""
    search = stored_search(tiny_pair, prompt_file, tmp_path, metric="logprob+parents", alphas=[0.0, 0.2, 0.4])
    measured: list[float] = []
    monkeypatch.setattr(Line, "measure_noise", lambda line, value: measured.append(value))
    engines: Any = None
    events = Events((), search.run)
    assert search.scoring is not None
    scores = ParentScores(search.scoring.parents, engines, search.prompts, events, missing="the donor is gone")
    scores.donor_asked = donor_asked
    line = Line(search, engines, UNLIMITED, events, scores)
    assert line.ask()
    line.consider()
    assert line.settle().selection.chosen == 0.0
    assert measured == ([] if donor_asked else [0.0])


def test_a_search_that_went_beyond_its_candidates_saved_nothing_rather_than_less(
    tiny_pair: TinyPair, prompt_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = stored_search(
        tiny_pair, prompt_file, tmp_path, metric="logprob", alphas=[0.2, 0.4, 0.6], extend=True, stop="never"
    )
    monkeypatch.setattr(Line, "measure_noise", lambda line, value: None)
    engines: Any = None
    line = Line(search, engines, UNLIMITED, Events((), search.run))
    reach([line])
    outcome = line.settle()
    assert outcome.selection.chosen == 0.0
    asked = 4 * len(search.prompts)
    assert outcome.to_json()["effort"] == {"answers": asked, "of": asked, "saved": 0.0}
