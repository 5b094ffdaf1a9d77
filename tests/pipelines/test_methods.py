"""Several merge methods in one search, on real engines: one winner, and the same as each method's own search."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from adamms.commands.select import select
from adamms.commands.settings import SearchSettings
from adamms.config import load_settings
from adamms.errors import UserError
from adamms.runs.responses import read_responses
from adamms.searching.methods import prepare_methods, settings_of_methods
from adamms.selecting.methods import MethodSelection
from tests.support.in_process import leave_foreign_result, run, selection_of
from tests.support.tiny_models import TinyPair

METHODS = ["linear", "ties"]


def given(pair: TinyPair, prompts: Path, folder: Path, **searching: Any) -> dict[str, Any]:
    return {
        "base": str(pair.base),
        "donor": str(pair.donor),
        "ancestor": str(pair.ancestor),
        "prompts": {"path": str(prompts), "n": 8},
        "run_dir": str(folder / "run"),
        "searching": {"methods": METHODS, "metric": "logprob", "alphas": [0.0, 0.3, 0.6], "noise": 0} | searching,
        "engine": {"max_tokens": 8, "block_size": 4},
        "tracking": {"uri": f"sqlite:///{folder}/mlflow.db", "system_metrics": False},
    }


def test_one_candidate_of_all_methods_wins(
    tiny_pair: TinyPair, prompt_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local_ray: None,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    # the last one that answers has no ancestor in its plan, which the first one's noise is measured after
    own = given(tiny_pair, prompt_file, tmp_path, grids={"ties": [0.4, 0.5, 0.6]}, methods=METHODS[::-1], noise=2)
    run(monkeypatch, own)
    shown = capsys.readouterr()
    folder = tmp_path / "run"
    whole, lines = selection_of(folder), {m: selection_of(folder / "methods" / m) for m in METHODS}
    assert list(lines["linear"]["scores"]) == ["0.0", "0.3", "0.6"]
    assert list(lines["ties"]["scores"]) == ["0.4", "0.5", "0.6"]
    scores = {m: one["scores"][str(one["alpha"])] for m, one in lines.items()}
    winner = min(scores, key=lambda method: scores[method])
    assert (whole["method"], whole["alpha"]) == (winner, lines[winner]["alpha"])
    assert {m: row["score"] for m, row in whole["methods"].items()} == pytest.approx(scores)
    assert sum(row["wins"] for row in whole["methods"].values()) == pytest.approx(1)
    recipe = json.loads((folder / "merged" / "adamms.json").read_text())["recipe"]
    assert (recipe["method"], recipe["alpha"]) == (winner, whole["alpha"])
    assert not any((folder / "methods" / method / "merged").exists() for method in METHODS)
    assert f"{winner}, alpha = {whole['alpha']}" in (folder / "report.html").read_text()
    assert shown.err.count("starting engines") == 1, "all methods share one engine"
    assert "linear (alpha" in shown.out

    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (experiment,) = (one for one in client.search_experiments() if one.name != "Default")
    runs = {one.info.run_id: one for one in client.search_runs([experiment.experiment_id], max_results=100)}
    roots = [one for one in runs.values() if "mlflow.parentRunId" not in one.data.tags]
    assert [one.data.tags["chosen_method"] for one in roots] == [winner]
    methods = [one for one in runs.values() if one.data.tags.get("mlflow.parentRunId") == roots[0].info.run_id]
    assert sorted(one.data.params["method"] for one in methods) == METHODS
    assert len(runs) == 1 + 2 + 6

    chosen = select(folder)
    assert isinstance(chosen, MethodSelection)
    assert (chosen.method, chosen.chosen) == (winner, whole["alpha"])
    rows = {name: row["score"] for name, row in chosen.to_json()["methods"].items()}
    assert rows == pytest.approx(scores, abs=1e-3), "stored log-probabilities are rounded"
    with pytest.raises(UserError, match="metric sum: is made of differences within one method"):
        select(folder, "sum")

    run(monkeypatch, own)
    assert "starting engines" not in capsys.readouterr().err, "everything is stored"
    again = selection_of(folder)
    assert (again["method"], again["alpha"]) == (winner, whole["alpha"])
    assert again["scores"] == pytest.approx(whole["scores"], abs=1e-3), "stored log-probabilities are rounded"
    run(monkeypatch, own | {"searching": own["searching"] | {"methods": ["linear", "slerp"], "grids": {}}}, status=2)
    assert (
        "belongs to another search (searching.methods: ties was there, now not there; searching.methods: slerp was"
        in capsys.readouterr().err
    )


@pytest.mark.slow  # engines of base and donor one after the other
def test_base_and_donor_score_the_answers_of_all_methods_in_one_turn(
    tiny_pair: TinyPair, prompt_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local_ray: None,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    own = given(tiny_pair, prompt_file, tmp_path, metric="logprob+parents", noise=2)
    run(monkeypatch, own)
    assert capsys.readouterr().err.count("starting engines") == 2, "the base's, then the donor's"
    folder = tmp_path / "run"
    alone = own | {"run_dir": str(tmp_path / "alone"), "merging": {"method": "ties"}}
    run(monkeypatch, alone | {"searching": own["searching"] | {"methods": []}})
    scores = selection_of(folder / "methods" / "ties")["scores"]
    assert scores == pytest.approx(selection_of(tmp_path / "alone")["scores"], abs=1e-3)


@pytest.mark.slow  # as the first one, again
def test_a_few_labels_choose_among_methods_too(
    tiny_pair: TinyPair, prompt_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local_ray: None
) -> None:
    """The labels are what the method that would not win answers, so that it has all of them right."""
    own = given(tiny_pair, prompt_file, tmp_path)
    run(monkeypatch, own)
    whole = selection_of(tmp_path / "run")
    (other,) = (method for method in METHODS if method != whole["method"])
    alpha = whole["methods"][other]["alpha"]
    answered = read_responses(tmp_path / "run" / "methods" / other / "responses")[alpha]
    rows = [json.loads(line) for line in prompt_file.read_text().splitlines()]
    labels = prompt_file.with_name("labels.jsonl")
    told = [row | {"answer": str(answered[row["id"]])} for row in rows if row["id"] in answered]
    labels.write_text("".join(json.dumps(row) + "\n" for row in told))
    again = own | {"run_dir": str(tmp_path / "labelled")}
    run(monkeypatch, again | {"searching": own["searching"] | {"labels": str(labels)}})
    found = selection_of(tmp_path / "labelled")
    assert (found["method"], found["alpha"]) == (other, alpha)
    assert "labels: " in found["methods"][whole["method"]]["excluded"]
    of_base = [sentence for sentence in found["worth"] if "better than the base" in sentence]
    assert len(of_base) == 1, "which is a candidate of linear interpolation alone"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"searching": {"metric": "either"}}, "cannot choose between methods"),
        ({"searching": {"methods": ["linear"]}}, "give two or more"),
        ({"searching": {"methods": ["linear", "tiess"]}}, "searching.methods: tiess: unknown"),
        ({"searching": {"grids": {"slerp": [0.1]}}}, "searching.grids.slerp: slerp is none of searching.methods"),
        ({"searching": {"export": "each"}}, "there is one winner"),
        ({"merging": {"options": {"gamma": 0.1}}}, "merging.options.gamma: none of searching.methods has it"),
    ],
)
def test_what_does_not_go_together_is_said(changed: dict[str, Any], said: str) -> None:
    settings = {"base": "b", "donor": "d", "searching": {"methods": METHODS, "metric": "logprob+parents"}}
    loaded = load_settings(SearchSettings, None, [], settings, changed)
    with pytest.raises(UserError, match=said):
        settings_of_methods(loaded)


def test_a_place_that_the_winner_cannot_have_is_found_before_anything_is_answered(
    tiny_pair: TinyPair, prompt_file: Path, tmp_path: Path
) -> None:
    leave_foreign_result(tmp_path / "run")
    loaded = load_settings(SearchSettings, None, [], given(tiny_pair, prompt_file, tmp_path))
    with pytest.raises(UserError, match=r"merged: holds notes\.txt, which AdaMMS did not write"), ExitStack() as held:
        prepare_methods(loaded, False, held)


def test_options_go_to_the_methods_that_have_them() -> None:
    settings = {"base": "b", "donor": "d", "searching": {"methods": METHODS, "metric": "logprob"}}
    own = {"merging": {"options": {"density": 0.3}}, "run_dir": "r"}
    found = settings_of_methods(load_settings(SearchSettings, None, [], settings, own))
    assert {m: one.merging.options for m, one in found.items()} == {"linear": {}, "ties": {"density": 0.3}}
    assert [one.run_dir for one in found.values()] == ["r/methods/linear", "r/methods/ties"]
