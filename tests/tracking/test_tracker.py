from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from adamms.config import TrackingConfig
from adamms.errors import UserError
from adamms.searching.selection import select
from adamms.tracking import CandidateRecord, SearchTracker

PARAMS = {"base": "models/base", "donor": "models/donor", "method": "linear"}
RESPONSES = {
    0.0: {"a": "one", "b": "two", "c": "three"},
    0.5: {"a": "one", "b": "two", "c": "four"},
    1.0: {"a": "six", "b": "two", "c": "four"},
}


def log_search(config: TrackingConfig, artifact: Path) -> None:
    with SearchTracker(config, "key-1", PARAMS) as tracker:
        for alpha, answers in RESPONSES.items():
            questions = dict.fromkeys(answers, "?")
            tracker.log_candidate(CandidateRecord(alpha, answers, questions, tokens=9, generate_seconds=1.5))
        tracker.log_scores({0.5: {"either": 2.0, "sum": 2.0}})
        tracker.log_selection(select(RESPONSES, bootstrap=0), [artifact])


def test_one_parent_and_a_child_for_every_candidate_once(tmp_path: Path) -> None:
    """A search that is run again goes on in the same runs."""
    import mlflow

    config = TrackingConfig(uri=f"sqlite:///{tmp_path}/mlflow.db", experiment="pairs")
    artifact = tmp_path / "plan.json"
    artifact.write_text("{}")
    log_search(config, artifact)
    log_search(config, artifact)

    client = mlflow.MlflowClient(config.uri)
    experiment = client.get_experiment_by_name("pairs").experiment_id
    runs = client.search_runs([experiment])
    (parent,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    children = client.search_runs([experiment], f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
    assert sorted(float(run.data.params["alpha"]) for run in children) == [0.0, 0.5, 1.0]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert all({"base", "donor"} <= set(run.data.params) for run in children)
    (chosen,) = client.search_runs([experiment], "tags.chosen = 'true'")
    assert chosen.data.params["alpha"] == "0.5"
    assert chosen.data.metrics["either"] == 2
    assert chosen.data.metrics["generate_seconds"] == 1.5
    assert parent.data.metrics["chosen_alpha"] == 0.5
    assert parent.info.artifact_uri.startswith(str(tmp_path)), "artifacts lie beside the database, wherever we run"
    assert [file.path for file in client.list_artifacts(parent.info.run_id)] == ["plan.json"]
    table = json.loads(Path(client.download_artifacts(chosen.info.run_id, "responses.json")).read_text())
    assert table["data"] == [["a", "?", "one"], ["b", "?", "two"], ["c", "?", "four"]]


def test_a_failed_candidate_is_shown_as_such(tmp_path: Path) -> None:
    import mlflow

    config = TrackingConfig(uri=f"sqlite:///{tmp_path}/mlflow.db")
    with SearchTracker(config, "key", PARAMS) as tracker:
        tracker.log_candidate(CandidateRecord(0.5, error="OutOfMemoryError: no room"))
    (run,) = mlflow.MlflowClient(config.uri).search_runs(["1"], "params.alpha = '0.5'")
    assert (run.info.status, run.data.tags["error"]) == ("FAILED", "OutOfMemoryError: no room")


def test_a_dashboard_that_breaks_does_not_stop_a_search(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = TrackingConfig(uri=f"sqlite:///{tmp_path}/mlflow.db")
    with caplog.at_level(logging.WARNING), SearchTracker(config, "key", PARAMS) as tracker:
        tracker.log_selection(select(RESPONSES, bootstrap=0), [tmp_path / "missing.json"])
    assert "MLflow did not take a record" in caplog.text


def test_an_unusable_uri_is_told_before_the_search() -> None:
    config = TrackingConfig(uri="nothing://knows/this")
    with (
        pytest.raises(UserError, match=r"tracking\.uri=nothing.*tracking\.enabled=false"),
        SearchTracker(config, "k", PARAMS),
    ):
        pass


def test_without_tracking_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with SearchTracker(TrackingConfig(enabled=False), "key", PARAMS) as tracker:
        tracker.log_candidate(CandidateRecord(0.5, {"a": "b"}))
    assert list(tmp_path.iterdir()) == []
