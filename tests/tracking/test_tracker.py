from __future__ import annotations

import json
import logging
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from adamms.errors import UserError
from adamms.prompts.config import PromptsConfig
from adamms.prompts.prompt import Prompt
from adamms.selecting.selection import select
from adamms.tracking import CandidateRecord, SearchTracker
from adamms.tracking.config import TrackingConfig
from adamms.tracking.courier import deliver_run
from adamms.tracking.delivery import Delivery, Unreachable
from adamms.tracking.journal import Journal, Operation
from adamms.tracking.run_tracker import tell_interrupted
from adamms.tracking.server import Server

PARAMS = {"base": "models/base", "donor": "models/donor", "method": "linear"}
RESPONSES = {
    0.0: {"a": "one", "b": "two", "c": "three"},
    0.5: {"a": "one", "b": "two", "c": "four"},
    1.0: {"a": "six", "b": "two", "c": "four"},
}


def log_search(config: TrackingConfig, run_dir: Path) -> None:
    merged = run_dir / "merged"
    merged.mkdir(parents=True, exist_ok=True)
    (run_dir / "plan.json").write_text("{}")
    with SearchTracker(config, "key-1", PARAMS, run_dir) as tracker:
        tracker.log_prompts(PromptsConfig(path="tasks/fruit.jsonl"), {"": [Prompt(i, f"{i}?") for i in "abc"]})
        for alpha, answers in RESPONSES.items():
            questions = dict.fromkeys(answers, "?")
            measured = {"tokens_saved": 4.0}
            tracker.log_candidate(
                CandidateRecord(alpha, answers, questions, tokens=9, generate_seconds=1.5, measured=measured)
            )
        tracker.log_scores({0.5: {"either": 2.0, "sum": 2.0, "left": float("nan")}})
        selection = select(RESPONSES, bootstrap=0)
        tracker.log_selection(selection)
        tracker.log_winner(selection, merged)
        tracker.log_files([run_dir / "plan.json"])


def test_one_parent_and_a_child_for_every_candidate_once(tmp_path: Path, config: TrackingConfig) -> None:
    """A search that is run again goes on in the same runs."""
    import mlflow

    config = replace(config, experiment="pairs")
    log_search(config, tmp_path / "run")
    log_search(config, tmp_path / "run")

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
    assert parent.data.tags["mlflow.note.content"].startswith("donor into base: **alpha 0.5** was chosen")
    assert [file.path for file in client.list_artifacts(parent.info.run_id)] == ["plan.json"]
    (data,) = parent.inputs.dataset_inputs
    assert (data.dataset.name, json.loads(data.dataset.profile)["num_rows"]) == ("fruit", 3)
    assert all(run.inputs.dataset_inputs == [data] for run in children), "a candidate has the search's prompts"
    assert chosen.data.metrics["tokens_saved"] == 4
    (version,) = client.search_model_versions("")
    assert version.tags["checkpoint"] == str(tmp_path / "run" / "merged")
    assert client.get_model_version_by_alias("donor into base", "champion").version == version.version
    for run in runs:
        for name in run.data.metrics:
            assert len(client.get_metric_history(run.info.run_id, name)) == 1, f"{name} was logged twice"
    table = json.loads(Path(client.download_artifacts(chosen.info.run_id, "responses.json")).read_text())
    assert table["data"] == [["a", "one", "?"], ["b", "two", "?"], ["c", "four", "?"]]


def test_every_task_is_a_data_set_of_the_search_and_its_candidates(tmp_path: Path, config: TrackingConfig) -> None:
    import mlflow

    prompts = PromptsConfig(tasks={"ocr": "somewhere/text.jsonl", "vqa": "org/questions"})
    tasks = {"ocr": [Prompt("ocr/1", "?")], "vqa": [Prompt("vqa/1", "?"), Prompt("vqa/2", "!")]}
    with SearchTracker(config, "key", PARAMS, tmp_path / "run") as tracker:
        tracker.log_prompts(prompts, tasks)
        tracker.log_candidate(CandidateRecord(0.1, {"ocr/1": "a"}))
        tracker.log_candidate(CandidateRecord(0.2, error="no room"))
    runs = mlflow.MlflowClient(config.uri).search_runs(["1"])
    assert len(runs) == 3
    for run in runs:
        found = {data.dataset.name: data.dataset for data in run.inputs.dataset_inputs}
        assert {name: json.loads(one.profile)["num_rows"] for name, one in found.items()} == {"ocr": 1, "vqa": 2}
        assert json.loads(found["vqa"].source)["uri"] == "org/questions"


def test_a_failed_candidate_is_shown_as_such(tmp_path: Path, config: TrackingConfig) -> None:
    import mlflow

    with SearchTracker(config, "key", PARAMS, tmp_path / "run") as tracker:
        tracker.log_candidate(CandidateRecord(0.5, error="OutOfMemoryError: no room"))
    (run,) = mlflow.MlflowClient(config.uri).search_runs(["1"], "params.alpha = '0.5'")
    assert (run.info.status, run.data.tags["error"]) == ("FAILED", "OutOfMemoryError: no room")


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt, "KILLED"), (RuntimeError, "FAILED")])
def test_how_a_search_ended_is_shown(
    tmp_path: Path, config: TrackingConfig, error: type[BaseException], status: str
) -> None:
    import mlflow

    with pytest.raises(error), SearchTracker(config, "key", PARAMS, tmp_path / "run"):
        raise error
    (run,) = mlflow.MlflowClient(config.uri).search_runs(["1"])
    assert run.info.status == status


def test_an_interrupted_search_says_so_before_it_has_ended(tmp_path: Path, config: TrackingConfig) -> None:
    """It may be killed before; if it comes to its end all the same, that counts."""
    import mlflow

    client = mlflow.MlflowClient(config.uri)
    with SearchTracker(config, "key", PARAMS, tmp_path / "run"):
        tell_interrupted()
        deadline = time.monotonic() + 60
        while not (found := client.search_runs(["1"], "attributes.status = 'KILLED'")) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(found) == 1
    (run,) = client.search_runs(["1"])
    assert run.info.status == "FINISHED"


def test_a_record_that_is_refused_holds_up_nothing(
    tmp_path: Path, config: TrackingConfig, caplog: pytest.LogCaptureFixture
) -> None:
    import mlflow

    with caplog.at_level(logging.WARNING), SearchTracker(config, "key", PARAMS, tmp_path / "run") as tracker:
        tracker.log_files([tmp_path / "run" / "missing.json"])
        tracker.log_metrics({"not//normal": 1.0})
        tracker.log_metrics({"fine": 1.0, "either+plurality": 2.0})
    assert caplog.text.count("MLflow did not take a record") == 2
    (run,) = mlflow.MlflowClient(config.uri).search_runs(["1"])
    assert (run.info.status, run.data.metrics) == ("FINISHED", {"fine": 1.0, "either-plurality": 2.0})


@pytest.mark.parametrize("uri", ["nothing://knows/this", "sqlite:////dev/null/mlflow.db"])
def test_an_unusable_uri_is_told_before_the_search(tmp_path: Path, uri: str) -> None:
    config = TrackingConfig(uri=uri)
    with (
        pytest.raises(UserError, match=r"tracking\.uri=.*tracking\.enabled=false"),
        SearchTracker(config, "k", PARAMS, tmp_path / "run"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_without_tracking_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = TrackingConfig(enabled=False)
    with SearchTracker(config, "key", PARAMS, tmp_path / "run") as tracker:
        tracker.log_candidate(CandidateRecord(0.5, {"a": "b"}))
        tracker.log_selection(select(RESPONSES, bootstrap=0))
    assert list(tmp_path.iterdir()) == []


def test_the_machine_is_watched_on_the_parent_only(tmp_path: Path, config: TrackingConfig) -> None:
    import mlflow

    config = replace(config, system_metrics=True)
    log_search(config, tmp_path / "run")
    runs = mlflow.MlflowClient(config.uri).search_runs(["1"])
    watched = [run for run in runs if "system/cpu_utilization_percentage" in run.data.metrics]
    assert [run.data.tags["adamms.kind"] for run in watched] == ["search"]


def test_nobody_is_waited_for(tmp_path: Path, config: TrackingConfig, caplog: pytest.LogCaptureFixture) -> None:
    """The server does not answer at all; later, one command delivers everything, once, in order."""
    import mlflow

    with socket.create_server(("127.0.0.1", 0)) as silent:  # then nothing listens there
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
    unreachable, run_dir = replace(config, uri=address), tmp_path / "run"
    started = time.monotonic()
    with caplog.at_level(logging.WARNING):
        log_search(unreachable, run_dir)
    assert time.monotonic() - started < 60
    assert f"adamms track {run_dir}" in caplog.text
    with pytest.raises(UserError, match="no answer"):
        deliver_run(run_dir)

    (journal,) = Journal.all_in(run_dir / "tracking")
    assert deliver_run(run_dir, config.uri) == (sum(1 for _ in journal.operations()), config.uri)
    assert deliver_run(run_dir, config.uri) == (0, config.uri)
    client = mlflow.MlflowClient(config.uri)
    runs = client.search_runs(["1"])
    assert len(runs) == 1 + len(RESPONSES)
    assert {run.info.status for run in runs} == {"FINISHED"}
    last = max(operation.time for operation in journal.operations())
    assert all(run.info.end_time <= last for run in runs), "runs carry the times of the search, not of the delivery"
    candidates = [run for run in runs if "alpha" in run.data.params]
    assert all(run.info.end_time - run.info.start_time >= 1500 for run in candidates), "and last as long as it did"


def test_a_delivery_that_is_cut_anywhere_goes_on_without_duplicates(tmp_path: Path, config: TrackingConfig) -> None:
    """Whatever operation the server dies at, before or after it took it, the end is the same."""
    import mlflow

    run_dir, first = tmp_path / "run", f"sqlite:///{tmp_path}/first.db"
    shutil.copy(tmp_path / "mlflow.db", tmp_path / "first.db")
    log_search(replace(config, uri=first), run_dir)
    (journal,) = Journal.all_in(run_dir / "tracking")
    total = sum(1 for _ in journal.operations())
    for after in range(2 * total + 2):
        delivery = Delivery(journal, Server(config.uri, config.experiment), run_dir)
        try:
            with dying_after(delivery, after % 2, before=after % 4 < 2):
                delivery.deliver()
        except Unreachable:
            continue
        break
    assert journal.waiting(f"{config.uri} {config.experiment}") == 0
    told, again = (
        sorted(
            (
                run.data.params.get("alpha", ""),
                run.info.status,
                run.info.start_time,
                run.data.metrics,
                len(run.data.tags),
            )
            for run in mlflow.MlflowClient(uri).search_runs(["1"])
        )
        for uri in (first, config.uri)
    )
    assert told == again
    assert len(mlflow.MlflowClient(config.uri).search_model_versions("")) == 1


@contextmanager
def dying_after(delivery: Delivery, operations: int, before: bool) -> Iterator[None]:
    """The server takes so many operations and then dies, before or after it took the next one."""
    do, taken = delivery._do, 0

    def dying(operation: Operation) -> None:
        nonlocal taken
        if taken == operations and before:
            raise ConnectionError("gone")
        do(operation)
        if taken == operations:
            raise ConnectionError("gone")
        taken += 1

    delivery._do = dying  # type: ignore[method-assign]
    yield
