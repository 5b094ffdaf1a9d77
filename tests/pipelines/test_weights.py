"""The weights of several donors, found on real engines without labels."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from adamms.commands.settings import SearchSettings
from adamms.config import load_settings
from adamms.errors import UserError
from adamms.reporting.card import published_card
from adamms.runs.responses import read_responses
from adamms.runs.run_folder import RunFolder
from adamms.searching.budget import Budget
from adamms.searching.line import Line
from adamms.searching.outcome import Outcome
from adamms.searching.weights_search import prepare_weights
from adamms.searching.weights_settings import searches_weights
from tests.support.in_process import leave_foreign_result, run, selection_of
from tests.support.tiny_models import TinyPair


def given(pair: TinyPair, prompts: Path, folder: Path, **searching: Any) -> dict[str, Any]:
    return {
        "base": str(pair.base),
        "donors": [str(pair.donor), str(pair.ancestor)],
        "prompts": {"path": str(prompts), "n": 8},
        "run_dir": str(folder / "run"),
        "searching": {"metric": "either", "alphas": [0.0, 0.2, 0.4], "noise": 0} | searching,
        "engine": {"max_tokens": 8, "block_size": 4},
        "tracking": {"uri": f"sqlite:///{folder}/mlflow.db", "system_metrics": False},
    }


def test_one_set_of_weights_wins(
    tiny_pair: TinyPair, prompt_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local_ray: None,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    own, folder = given(tiny_pair, prompt_file, tmp_path), tmp_path / "run"
    run(monkeypatch, own)
    shown = capsys.readouterr()
    whole = selection_of(folder)
    weights = whole["weights"]
    assert list(weights) == ["donor", "ancestor"]
    record = json.loads((folder / "merged" / "adamms.json").read_text())
    assert record["recipe"]["alpha"] == list(weights.values())
    assert whole["alpha"] == weights[whole["donor"]]
    assert shown.err.count("starting engines") == 1, "all lines share one engine"

    lines = {one["folder"]: selection_of(folder / "lines" / one["folder"]) for one in whole["path"]}
    assert list(lines)[:2] == ["x_0.0", "0.0_x"]
    first = min(whole["path"][:2], key=lambda one: one["scores"][str(one["alpha"])])
    third = whole["path"][2]
    assert third["donor"] != first["donor"], "the donor that the criterion likes best is in place first"
    assert third["others"] == {first["donor"]: first["alpha"]}
    assert not any((folder / "lines" / name / "merged").exists() for name in lines)

    stored = [json.loads(line) for file in (folder / "lines").rglob("responses/*.jsonl") for line in file.open()]
    points = {(name, alpha) for name, one in lines.items() for alpha in one["scores"]}
    assert len(stored) == 8 * len(points), "every line has all answers of its candidates"
    decoded = [json.loads(file.read_text()) for file in (folder / "lines").rglob("candidates/*.json")]
    asked = sum(one["generate_seconds"] > 0 for one in decoded)
    assert asked <= whole["candidates"] < len(points), "the same weights are asked once"
    assert {name: one["prompts"] for name, one in whole["without"].items()} == {n: 8 for n, w in weights.items() if w}

    run(monkeypatch, own)
    assert "starting engines" not in capsys.readouterr().err, "everything is stored"
    assert selection_of(folder) == whole
    report = (folder / "report.html").read_text()
    assert "The weights" in report
    assert "answers that change without it" in shown.out
    assert "sets of weights were asked" in shown.out
    card = published_card(folder / "merged", RunFolder(folder), "me/mine")
    assert f"| donor | {weights['donor']:.1f} |" in card
    assert f"{whole['candidates']} sets of weights in all" in card

    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (experiment,) = (one for one in client.search_experiments() if one.name != "Default")
    runs = {one.info.run_id: one for one in client.search_runs([experiment.experiment_id], max_results=200)}
    (root,) = (one for one in runs.values() if "mlflow.parentRunId" not in one.data.tags)
    assert {name: root.data.metrics[f"weight/{name}"] for name in weights} == weights
    way = [point.value for point in client.get_metric_history(root.info.run_id, "path/donor")]
    assert len(way) == len(whole["path"])
    below = {
        one.info.run_id: one for one in runs.values() if one.data.tags.get("mlflow.parentRunId") == root.info.run_id
    }
    assert len(below) == len(lines)
    candidates = [one for one in runs.values() if one.data.tags.get("mlflow.parentRunId") in below]
    asked = {(one.data.params["alpha_1"], one.data.params["alpha_2"]) for one in candidates}
    assert len(asked) == whole["candidates"]
    assert root.data.params["donor_2"] == str(tiny_pair.ancestor)


def test_a_line_is_the_search_of_one_donor(
    tiny_pair: TinyPair, prompt_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local_ray: None
) -> None:
    """The line of a donor with no other one gives the answers, and the checkpoint's weights, of an ordinary search."""
    own = given(tiny_pair, prompt_file, tmp_path)
    alone = {name: value for name, value in own.items() if name != "donors"} | {"donor": str(tiny_pair.donor)}
    run(monkeypatch, alone | {"run_dir": str(tmp_path / "alone")})
    run(monkeypatch, own | {"run_dir": str(tmp_path / "line")}, "searching.donor=1", "searching.alpha='0,0'")
    for part in ("scores", "alpha", "verdict"):
        assert selection_of(tmp_path / "line")[part] == selection_of(tmp_path / "alone")[part]
    assert read_responses(tmp_path / "line" / "responses") == read_responses(tmp_path / "alone" / "responses")
    one, other = (tmp_path / name / "merged" / "model.safetensors" for name in ("line", "alone"))
    assert one.read_bytes() == other.read_bytes()


def test_a_budget_of_candidates_ends_it(
    tiny_pair: TinyPair, prompt_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local_ray: None,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    own, folder = given(tiny_pair, prompt_file, tmp_path, metric="logprob"), tmp_path / "run"
    run(monkeypatch, own, "budget.candidates=4", status=2)
    assert "budget.candidates=4: the lines that it begins with ask more" in capsys.readouterr().err
    run(monkeypatch, own, "budget.candidates=5")
    found = selection_of(folder)
    assert found["candidates"] == 5
    assert "stopped by budget.candidates=5" in found["warnings"][-1]
    assert len(found["path"]) == 2
    run(monkeypatch, own)
    assert len(selection_of(folder)["path"]) > 2, "it goes on with a larger one"


def test_a_budget_of_time_ends_it_between_lines_and_nothing_is_lost(
    tiny_pair: TinyPair, prompt_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local_ray: None,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The hour is over as soon as the first two lines have chosen, also for labelled prompts."""
    rows = [json.loads(line) for line in prompt_file.read_text().splitlines()][:4]
    labels = prompt_file.with_name("labels.jsonl")
    labels.write_text("".join(json.dumps(row | {"id": f"l{i}", "answer": "x"}) + "\n" for i, row in enumerate(rows)))
    settled: list[object] = []

    def settle(line: Line) -> Outcome:
        settled.append(line)
        return before(line)

    before = Line.settle
    monkeypatch.setattr(Line, "settle", settle)
    monkeypatch.setattr(Budget, "over", property(lambda _: "budget.hours=1" if len(settled) > 1 else None))
    own = given(tiny_pair, prompt_file, tmp_path, labels=str(labels)) | {"budget": {"hours": 1}}
    run(monkeypatch, own)
    whole = selection_of(tmp_path / "run")
    assert len(settled) == len(whole["path"]) == 2
    assert any("stopped by budget.hours=1" in warning for warning in whole["warnings"])
    assert (tmp_path / "run" / "merged" / "adamms.json").is_file()
    assert (tmp_path / "run" / "report.html").is_file()
    reported = {file.parent.name for file in (tmp_path / "run" / "lines").glob("*/report.html")}
    assert reported == {"x_0.0", "0.0_x"}, "of the line that it was about to begin there is nothing to tell"


def test_a_surrogate_proposes_where_lines_begin(
    tiny_pair: TinyPair, prompt_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local_ray: None,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    own, folder = given(tiny_pair, prompt_file, tmp_path, metric="logprob", trials=7), tmp_path / "run"
    run(monkeypatch, own)
    found = selection_of(folder)
    capsys.readouterr()
    tried = [tuple(one["weights"].values()) for one in found["trials"]]
    assert tried[:3] == [(0.0, 0.0), (0.2, 0.0), (0.0, 0.2)]
    best = min(found["trials"], key=lambda one: one["score"])["weights"]
    first = found["path"][0]
    assert {**best, first["donor"]: 0} == {**dict.fromkeys(best, 0), **first["others"]}, "lines go around the best"
    assert not (folder / "trials" / "x_0.0" / "search.json").exists()
    assert found["candidates"] >= len(set(tried)) == len(tried)
    run(monkeypatch, own)
    assert "starting engines" not in capsys.readouterr().err, "everything is stored, and proposed again"
    assert selection_of(folder)["weights"] == found["weights"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"searching": {"methods": ["linear", "ties"]}}, "with several donors one method is searched at a time"),
        ({"searching": {"export": "each"}}, "with several donors there is one winner"),
        ({"searching": {"alphas": [0, 0.2]}}, "expected 3 weights of a donor or more, from 0 to 1"),
        ({"searching": {"alphas": [0, 0.2, 1.2]}}, "expected 3 weights of a donor or more, from 0 to 1"),
        ({"searching": {"trials": 9}}, "metric=either cannot score one set of weights by its own answers"),
        ({"searching": {"trials": -1}}, "searching.trials=-1: expected 0 or more"),
        ({"searching": {"passes": -1}}, "searching.passes=-1: expected 0 or more"),
        ({"searching": {"alpha": "0.3,0.2"}}, "searching.alpha: all donors' weights are searched"),
        ({"merging": {"method": "slerp"}}, "slerp: merges one donor, not 2"),
    ],
)
def test_what_does_not_go_together_is_said(
    tiny_pair: TinyPair, prompt_file: Path, tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    loaded = load_settings(SearchSettings, None, [], given(tiny_pair, prompt_file, tmp_path), changed)
    assert searches_weights(loaded)
    with pytest.raises(UserError, match=said), ExitStack() as held:
        prepare_weights(loaded, False, held)


def test_a_place_that_the_winner_cannot_have_is_found_before_anything_is_answered(
    tiny_pair: TinyPair, prompt_file: Path, tmp_path: Path
) -> None:
    leave_foreign_result(tmp_path / "run")
    loaded = load_settings(SearchSettings, None, [], given(tiny_pair, prompt_file, tmp_path))
    with pytest.raises(UserError, match=r"merged: holds notes\.txt, which AdaMMS did not write"), ExitStack() as held:
        prepare_weights(loaded, False, held)


def test_another_coefficient_is_searched_at_given_weights() -> None:
    own = {"base": "b", "donors": ["c", "d"], "searching": {"coefficient": "density", "alpha": "0.3,0.2"}}
    loaded = load_settings(SearchSettings, None, [], own, {"merging": {"method": "ties"}})
    assert not searches_weights(loaded)
