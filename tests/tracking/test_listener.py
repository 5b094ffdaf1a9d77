from __future__ import annotations

import json
import logging
import os
import re
import shutil
import socket
import sqlite3
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adamms.errors import UserError
from adamms.runs.candidate import CandidateRecord
from adamms.runs.run_folder import FINISHED, RUNNING, RunFolder
from adamms.tracking import Tracking, deliver_run, wake_all, where_it_is
from adamms.tracking.config import TrackingConfig
from adamms.tracking.server import Server
from tests.support.searches import write_candidate
from tests.tracking.searched import RESPONSES, described, runs_of, write_search


def test_what_happens_is_shown_while_the_search_goes_on(tmp_path: Path, config: TrackingConfig) -> None:
    run = described(tmp_path / "run")
    run.set_status(RUNNING)
    with Tracking(config, run) as told:
        write_candidate(run, 0.5, RESPONSES[0.5])
        told("a candidate has ended")
        (child,) = wait_for(config, "params.alpha = '0.5' and attributes.status = 'FINISHED'")
        assert [parent.info.status for parent in runs_of(config, "tags.`adamms.kind` = 'search'")] == ["RUNNING"]
        assert child.data.metrics["tokens"] == 9
        run.set_status(FINISHED)
    assert {one.info.status for one in runs_of(config)} == {"FINISHED"}


def test_every_search_has_the_database_in_its_own_folder(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Searches of one process, as in a notebook."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("a", "b"):
        run = write_search(tmp_path / name, key=name)
        shutil.copy(empty_database, run.folder)
        own = TrackingConfig(uri=f"sqlite:///{run.folder / 'mlflow.db'}")
        run.write(run.merged / "adamms.json", {"plan": "p", "recipe": {"alpha": 0.5}})
        with Tracking(TrackingConfig(system_metrics=False), run):
            pass
        assert {found.data.tags["adamms.search"] for found in runs_of(own)} == {name}
        champion = Server(own.uri, own.experiment).client.get_model_version_by_alias("donor into base", "champion")
        assert champion.tags["adamms.search"] == name
        assert "MLFLOW_TRACKING_URI" not in os.environ, "child processes would inherit an address with its password"


@pytest.mark.parametrize("status", ["KILLED", "FAILED"])
def test_how_a_search_ended_is_shown(tmp_path: Path, config: TrackingConfig, status: str) -> None:
    run = described(tmp_path / "run")
    run.set_status(RUNNING)
    run.set_status(status)
    with pytest.raises(KeyboardInterrupt), Tracking(config, run):
        raise KeyboardInterrupt
    (found,) = runs_of(config)
    assert found.info.status == status


def test_an_interrupted_search_says_so_before_it_has_ended(tmp_path: Path, config: TrackingConfig) -> None:
    """It may be killed before; if it comes to its end all the same, that counts."""
    run = described(tmp_path / "run")
    run.set_status(RUNNING)
    with Tracking(config, run):
        wake_all()
        assert len(wait_for(config, "attributes.status = 'KILLED'")) == 1
        run.set_status(FINISHED)
    (found,) = runs_of(config)
    assert found.info.status == "FINISHED"


@pytest.mark.parametrize("uri", ["nothing://knows/this", "sqlite:////dev/null/mlflow.db"])
def test_an_unusable_uri_is_told_before_the_search(tmp_path: Path, uri: str) -> None:
    with (
        pytest.raises(UserError, match=r"tracking\.uri=.*tracking\.enabled=false"),
        Tracking(TrackingConfig(uri=uri), RunFolder(tmp_path / "run")),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_without_tracking_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Tracking(TrackingConfig(enabled=False), RunFolder(tmp_path / "run")) as told:
        told("anything")
        wake_all()
    assert list(tmp_path.iterdir()) == []


def test_the_machine_is_watched_on_the_parent_only(
    tmp_path: Path, config: TrackingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep's own run has the load of its searches' machine."""
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.2")
    config = replace(config, system_metrics=True)
    sweep = RunFolder(tmp_path)
    sweep.describe("sweep-1", "many", {"pairs": "a, b"})
    sweep.set_status(RUNNING)
    with Tracking(config, sweep), Tracking(config, described(tmp_path / "a" / "linear", parent=sweep)) as told:
        write_candidate(RunFolder(tmp_path / "a" / "linear"), 0.5, RESPONSES[0.5])
        told("a candidate has ended")
        watched = wait_for(config, "metrics.`system/cpu_utilization_percentage` >= 0")
    assert [run.data.tags["adamms.kind"] for run in watched] == ["sweep"]
    assert len(runs_of(config)) == 3
    (again,) = runs_of(config, "metrics.`system/cpu_utilization_percentage` >= 0")
    assert again.info.run_id == watched[0].info.run_id


def test_nobody_is_waited_for(tmp_path: Path, config: TrackingConfig, caplog: pytest.LogCaptureFixture) -> None:
    """The server does not answer at all; later, one command delivers everything, once, with the search's times."""
    with socket.create_server(("127.0.0.1", 0)) as silent:  # then nothing listens there
        address = f"http://me:secret@127.0.0.1:{silent.getsockname()[1]}"
    run_dir = tmp_path / "run"
    started = time.monotonic()
    with caplog.at_level(logging.WARNING), Tracking(replace(config, uri=address), write_search(run_dir)):
        pass
    assert time.monotonic() - started < 60
    ended = int(time.time() * 1000)
    assert f"adamms track {run_dir}" in caplog.text
    with pytest.raises(UserError, match="no answer") as error:
        deliver_run(run_dir, address)
    assert "secret" not in caplog.text + str(error.value), "nobody's password is in a log"

    time.sleep(0.01)
    taken, target = deliver_run(run_dir, config.uri, config.experiment)
    assert taken > 0
    assert target == config.uri
    assert deliver_run(run_dir, config.uri, config.experiment) == (0, config.uri)
    runs = runs_of(config)
    assert len(runs) == 1 + len(RESPONSES)
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert all(run.info.end_time <= ended for run in runs), "runs carry the times of the search, not of the delivery"
    candidates = [run for run in runs if "alpha" in run.data.params]
    assert all(run.info.end_time - run.info.start_time >= 1500 for run in candidates), "and last as long as it did"


def test_a_locked_database_is_not_waited_for(
    tmp_path: Path, config: TrackingConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """Another process writes into the SQLite database while the search begins; once it is through, all is delivered."""
    run = described(tmp_path / "run")
    patient = replace(config, uri=f"{config.uri}?timeout=0.1")
    with sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None) as other, caplog.at_level(logging.WARNING):
        other.execute("BEGIN EXCLUSIVE")
        with Tracking(patient, run):
            run.set_status(RUNNING)
            other.execute("ROLLBACK")
            run.set_status(FINISHED)
    assert [found.info.status for found in runs_of(config)] == ["FINISHED"]


def test_what_a_power_cut_left_of_what_was_delivered_is_delivered_again(
    tmp_path: Path, config: TrackingConfig, caplog: pytest.LogCaptureFixture
) -> None:
    run = write_search(tmp_path / "run")
    with Tracking(config, run):
        pass
    before = {found.info.run_id: found.data.params for found in runs_of(config)}
    (delivered,) = run.tracking.glob("delivered-*.json")
    delivered.write_text("")
    with Tracking(config, run):
        pass
    assert f"{delivered}: broken; everything is delivered again" in caplog.text
    assert {found.info.run_id: found.data.params for found in runs_of(config)} == before
    assert deliver_run(run.folder) == (0, config.uri)


def test_a_file_that_cannot_be_delivered_is_no_reason_for_a_search_to_fail(
    tmp_path: Path, config: TrackingConfig, caplog: pytest.LogCaptureFixture
) -> None:
    run = write_search(tmp_path / "run")
    with Tracking(config, run):
        (run.candidates / "0.5.json").write_text("")
    assert f"nobody knows what was delivered to {config.uri}: " in caplog.text
    assert "0.5.json: broken" in caplog.text


def test_the_error_of_a_candidate_that_answered_later_is_taken_back(tmp_path: Path, config: TrackingConfig) -> None:
    run = described(tmp_path / "run")
    run.write_candidate(CandidateRecord(0.5, error="its engine died"))
    with Tracking(config, run):
        pass
    (failed,) = runs_of(config, "tags.status = 'failed'")
    assert failed.data.tags["error"] == "its engine died"
    write_candidate(run, 0.5, RESPONSES[0.5])
    for _ in range(2):  # the second delivery has nothing to do
        with Tracking(config, run):
            pass
    (found,) = runs_of(config, "tags.`adamms.kind` = 'candidate'")
    assert (found.info.run_id, found.data.tags["status"]) == (failed.info.run_id, "finished")
    assert "error" not in found.data.tags
    assert deliver_run(run.folder) == (0, config.uri)


def test_the_address_is_kept_without_its_password(
    tmp_path: Path, config: TrackingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_search(tmp_path / "run")
    with Tracking(replace(config, model="ours"), run):
        pass
    file = tmp_path / "run" / "tracking" / "target.json"
    kept = json.loads(file.read_text())
    assert re.fullmatch(r"#/experiments/\d+/runs/\w+", kept.pop("page"))
    assert kept == {"uri": config.uri, "experiment": "adamms", "model": "ours"}
    assert deliver_run(tmp_path / "run") == (0, config.uri), "everything was delivered"

    secret = "http://me:s3cr3t@127.0.0.1:9"
    run.write(file, {"uri": secret, "experiment": "adamms", "model": ""})
    assert "s3cr3t" not in file.read_text()
    with pytest.raises(UserError, match=r"keeps no passwords; give the whole address with --uri"):
        deliver_run(tmp_path / "run")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", secret)
    with pytest.raises(UserError, match=r"tracking.uri=http://\*\*\*@127.0.0.1:9: no answer"):
        deliver_run(tmp_path / "run")


def test_what_belongs_to_a_run_goes_where_that_is(
    tmp_path: Path, config: TrackingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, unnamed = write_search(tmp_path / "run"), TrackingConfig()
    assert where_it_is(unnamed, run) == unnamed, "nobody has told it"
    with Tracking(replace(config, experiment="sweep", model="ours"), run):
        pass
    found = where_it_is(unnamed, run)
    assert (found.uri, found.experiment, found.model) == (config.uri, "sweep", "ours")
    elsewhere = TrackingConfig(uri="sqlite:///other.db")
    assert where_it_is(elsewhere, run) == elsewhere
    assert where_it_is(replace(unnamed, enabled=False), run).uri == ""
    file = run.tracking / "target.json"
    kept = run.read(file)
    run.write(file, kept | {"uri": f"sqlite:///{tmp_path}/moved/mlflow.db"})
    assert where_it_is(unnamed, run) == unnamed, "the folder was moved, and its database with it"
    file.write_text(json.dumps(kept | {"uri": "http://***@127.0.0.1:9"}))
    with pytest.raises(UserError, match=r"give the whole address with tracking\.uri, or"):
        where_it_is(unnamed, run)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:8")
    assert where_it_is(unnamed, run) == unnamed


def test_a_folder_that_was_never_tracked(tmp_path: Path, config: TrackingConfig) -> None:
    with pytest.raises(UserError, match="no tracked search in it"):
        deliver_run(tmp_path, config.uri)
    write_search(tmp_path / "run")
    with pytest.raises(UserError, match="--uri"):
        deliver_run(tmp_path / "run")
    assert deliver_run(tmp_path / "run", config.uri)[0] > 0, "it holds everything all the same"


def test_a_sweep_is_delivered_with_all_its_searches(tmp_path: Path, config: TrackingConfig) -> None:
    """Whichever comes first makes the sweep's run, once."""
    sweep = RunFolder(tmp_path / "sweep")
    sweep.describe("sweep-1", "many", {"pairs": "a, b"})
    sweep.set_status(RUNNING)
    rows = [{"name": "a/linear", "status": "finished", "divergence": 0.2, "tasks": {"ocr": 0.5}, "warnings": ["w"]}]
    sweep.write(sweep.sweep, [*rows, {**rows[0], "name": "b/linear", "status": "failed", "divergence": None}])
    sweep.write(sweep.costs, {"peaks": {"gpu_hours": 0.5, "searches": 3}})
    for pair in "ab":
        write_search(sweep.folder / pair / "linear", key=pair, parent=sweep)
    deliver_run(sweep.folder / "a" / "linear", config.uri)
    deliver_run(sweep.folder, config.uri)
    assert deliver_run(sweep.folder, config.uri)[0] == 0
    runs = runs_of(config)
    (top,) = (run for run in runs if run.data.tags["adamms.kind"] == "sweep")
    searches = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == top.info.run_id]
    assert {run.data.tags["adamms.search"] for run in searches} == {"a", "b"}
    assert len(runs) == 3 + 2 * len(RESPONSES)
    assert (top.info.run_name, top.info.status) == ("many", "RUNNING")
    assert top.data.metrics == {"searches": 3, "searches_done": 2, "failed": 1, "gpu_hours": 0.5}
    import mlflow

    client = mlflow.MlflowClient(config.uri)
    assert {file.path for file in client.list_artifacts(top.info.run_id)} == {"sweep.json", "ranking.json"}
    table = json.loads(Path(client.download_artifacts(top.info.run_id, "ranking.json")).read_text())
    assert table["columns"] == ["place", *rows[0]]
    assert table["data"][0] == [1, "a/linear", "finished", 0.2, "ocr 0.5", "w"]


def wait_for(config: TrackingConfig, query: str) -> list[Any]:
    """The runs that a query finds, once there are any."""
    deadline = time.monotonic() + 60
    while not (found := runs_of(config, query)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found
