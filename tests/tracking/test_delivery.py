from __future__ import annotations

import errno
import fcntl
import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from adamms.prompts.prompt import Prompt
from adamms.runs.candidate import CandidateRecord
from adamms.runs.run_folder import FINISHED, RUNNING, RunFolder
from adamms.selecting.selection import select
from adamms.tracking.config import TrackingConfig
from adamms.tracking.contents import Item
from adamms.tracking.delivery import Delivery
from adamms.tracking.server import Server, Unreachable
from adamms.tracking.view import TAG
from tests.support.searches import write_candidate, write_choice
from tests.tracking.searched import RESPONSES, deliver, described, runs_of, write_search


@pytest.fixture
def server(config: TrackingConfig) -> Server:
    return Server(config.uri, config.experiment)


def test_one_parent_and_a_child_for_every_candidate_once(tmp_path: Path, config: TrackingConfig) -> None:
    """A search that is run again goes on in the same runs."""
    import mlflow

    config = replace(config, experiment="pairs")
    for _ in range(2):
        run = write_search(tmp_path / "run")
        deliver(run, Server(config.uri, config.experiment))

    client = mlflow.MlflowClient(config.uri)
    experiment = client.get_experiment_by_name("pairs").experiment_id
    runs = client.search_runs([experiment])
    (parent,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    children = client.search_runs([experiment], f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
    assert sorted(float(run.data.params["alpha"]) for run in children) == [0.0, 0.5, 1.0]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert all({"base", "donor"} <= set(run.data.params) for run in children)
    (chosen,) = client.search_runs([experiment], "tags.chosen = 'true'")
    assert {run.info.run_name for run in children} == {"alpha 0.0", "alpha 0.5 (chosen)", "alpha 1.0"}
    assert chosen.info.run_name == "alpha 0.5 (chosen)"
    assert chosen.data.tags["mlflow.source.name"] == "adamms search --config pair.yaml"
    (model,) = client.get_run(chosen.info.run_id).outputs.model_outputs
    logged = client.get_logged_model(model.model_id)
    assert (logged.name, logged.tags["alpha"], logged.source_run_id) == ("alpha 0-5", "0.5", chosen.info.run_id)
    assert {metric.key: metric.value for metric in logged.metrics}.items() >= {"tokens": 9.0, "either": 2.0}.items()
    assert [run.data.tags.get("chosen") for run in children].count(None) == 2, "nothing is said of the others"
    (output,) = parent.outputs.model_outputs
    assert output.model_id == model.model_id, "the search's model is its winner"
    curve = client.get_metric_history(parent.info.run_id, "choice/either_by_alpha")
    assert [(point.step, point.value) for point in curve] == [(500, 2.0)], "a thousandth of alpha a step"
    assert len(client.search_logged_models([experiment])) == 3, "one for each candidate, once"
    assert chosen.data.params["alpha"] == "0.5"
    assert chosen.data.metrics["either"] == 2
    assert chosen.data.metrics["generate_seconds"] == 1.5
    assert chosen.data.tags["weights_digest"] == "0" * 16
    assert parent.data.metrics["chosen_alpha"] == 0.5
    assert parent.info.artifact_uri.startswith(str(tmp_path)), "artifacts lie beside the database, wherever we run"
    note = parent.data.tags["mlflow.note.content"]
    assert note.startswith("donor into base: **alpha 0.5** was chosen")
    assert "\n- merged in part only" in note
    assert {run.data.tags["warning"] for run in runs} == {"merged in part only"}
    assert {file.path for file in client.list_artifacts(parent.info.run_id)} == {
        "plan.json",
        "selection.json",
        "settings.yaml",
    }
    (shared,) = (name for name in client.get_experiment(experiment).tags if name.startswith(TAG))
    assert f"runs?compareRunsMode=CHART&viewStateShareKey={shared.removeprefix(TAG)}" in note
    (data,) = parent.inputs.dataset_inputs
    assert (data.dataset.name, json.loads(data.dataset.profile)["num_rows"]) == ("fruit", 3)
    assert all(run.inputs.dataset_inputs == [data] for run in children), "a candidate has the search's prompts"
    assert chosen.data.metrics["tokens_saved"] == 4
    (version,) = client.search_model_versions("")
    assert version.tags["checkpoint"] == str(tmp_path / "run" / "merged")
    assert client.get_model_version_by_alias("donor into base", "champion").version == version.version
    for one in runs:
        for name in one.data.metrics:
            assert len(client.get_metric_history(one.info.run_id, name)) == 1, f"{name} was logged twice"
    table = json.loads(Path(client.download_artifacts(chosen.info.run_id, "responses.json")).read_text())
    assert table["data"] == [["a", "one", "a?"], ["b", "two", "b?"], ["c", "four", "c?"]]


def test_every_task_is_a_data_set_of_the_search_and_its_candidates(
    tmp_path: Path, config: TrackingConfig, server: Server
) -> None:
    run = described(tmp_path / "run")
    tasks = {"ocr": [Prompt("ocr/1", "?")], "vqa": [Prompt("vqa/1", "?"), Prompt("vqa/2", "!")]}
    run.describe_prompts(tasks, {"ocr": "somewhere/text.jsonl", "vqa": "org/questions"}, seed=0)
    write_candidate(run, 0.1, {"ocr/1": "a"})
    run.write_candidate(CandidateRecord(0.2, error="no room"))
    deliver(run, server)
    runs = runs_of(config)
    assert len(runs) == 3
    for one in runs:
        found = {data.dataset.name: data.dataset for data in one.inputs.dataset_inputs}
        assert {name: json.loads(data.profile)["num_rows"] for name, data in found.items()} == {"ocr": 1, "vqa": 2}
        assert json.loads(found["vqa"].source)["uri"] == "org/questions"


def test_a_failed_candidate_is_shown_as_such(tmp_path: Path, config: TrackingConfig, server: Server) -> None:
    run = described(tmp_path / "run")
    run.write_candidate(CandidateRecord(0.5, error="OutOfMemoryError: no room"))
    deliver(run, server)
    (found,) = runs_of(config, "params.alpha = '0.5'")
    assert (found.info.status, found.data.tags["error"]) == ("FAILED", "OutOfMemoryError: no room")


def test_a_record_that_is_refused_holds_up_nothing(
    tmp_path: Path, config: TrackingConfig, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    run = described(tmp_path / "run")
    found = {"seconds": {}, "peaks": {"not//normal": 1.0, "fine": 1.0, "either+plurality": 2.0, "gone": float("nan")}}
    run.write(run.costs, found)
    run.set_status(FINISHED)
    with caplog.at_level(logging.WARNING):
        deliver(run, server)
    assert caplog.text.count("MLflow did not take a record") == 1
    assert "metric not//normal" in caplog.text
    (one,) = runs_of(config)
    assert (one.info.status, one.data.metrics) == ("FINISHED", {"fine": 1.0, "either-plurality": 2.0})
    caplog.clear()
    assert deliver(run, server) == 0
    assert caplog.text == "", "it is told of once"


def test_only_what_is_new_or_changed_is_sent(tmp_path: Path, config: TrackingConfig, server: Server) -> None:
    run = write_search(tmp_path / "run")
    assert deliver(run, server) > 20
    assert deliver(run, server) == 0
    run.report.write_text("<p>anew")
    assert deliver(run, server) == 2, "the report, and the description that names it"
    run.write(run.scores, {"0.5": {"either": 1.0}})
    assert deliver(run, server) == 1
    (chosen,) = runs_of(config, "tags.chosen = 'true'")
    assert chosen.data.metrics["either"] == 1.0
    run.set_status(RUNNING)
    assert deliver(run, server) == 1
    assert runs_of(config, "attributes.status = 'RUNNING'")[0].data.tags["adamms.kind"] == "search"


def test_searches_in_one_folder_one_after_the_other_are_told_apart(
    tmp_path: Path, config: TrackingConfig, server: Server
) -> None:
    first = deliver(write_search(tmp_path / "run", "one"), server)
    assert deliver(write_search(tmp_path / "run", "two"), server) == first
    searches = runs_of(config, "tags.`adamms.kind` = 'search'")
    assert {run.data.tags["adamms.search"] for run in searches} == {"one", "two"}
    assert len(runs_of(config)) == 2 * (1 + len(RESPONSES))


def test_before_a_run_is_described_there_is_nothing_to_deliver(tmp_path: Path, server: Server) -> None:
    run = RunFolder(tmp_path / "run")
    run.set_status(RUNNING)
    assert (deliver(run, server), Delivery(run, server).waiting()) == (0, 0)


def test_a_full_disk_is_no_refusal(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """What there was no room for is delivered later."""
    run = write_search(tmp_path / "run")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as small:
        small.setattr(server.client, "log_artifact", full)
        with pytest.raises(OSError, match="No space left"):
            deliver(run, server)
    deliver(run, server)
    (winner,) = server.client.search_runs([server.experiment], "tags.chosen = 'true'")
    assert [file.path for file in server.client.list_artifacts(winner.info.run_id)] == ["responses.json"]


def test_servers_are_told_apart_and_a_new_database_gets_everything(tmp_path: Path, config: TrackingConfig) -> None:
    run, other = write_search(tmp_path / "run"), f"sqlite:///{tmp_path}/other.db"
    shutil.copy(tmp_path / "mlflow.db", tmp_path / "other.db")
    shutil.copy(tmp_path / "mlflow.db", tmp_path / "empty.db")
    first = deliver(run, Server(config.uri, "adamms"))
    assert deliver(run, Server(other, "adamms")) == first
    assert deliver(run, Server(config.uri, "another")) == first
    assert deliver(run, Server(config.uri, "adamms")) == 0
    shutil.copy(tmp_path / "empty.db", tmp_path / "other.db")
    run.report.write_text("<p>new")
    assert deliver(run, Server(other, "adamms")) == first + 1
    assert len(runs_of(replace(config, uri=other))) == 1 + len(RESPONSES)


def test_what_labels_and_lmms_eval_say_is_shown(tmp_path: Path, config: TrackingConfig, server: Server) -> None:
    run = write_search(tmp_path / "run")
    judged = {"accuracy": {"0.0": 40.0, "0.5": 60.0}, "regret": 2.0}
    other = {"accuracy": {"0.0": 20.0, "0.5": 30.0}, "regret": 4.0}
    run.write(run.evaluation, {"ocr": judged, "vqa": other})
    run.write(run.lmms_eval, {"ocrbench/accuracy": 0.25})
    deliver(run, server)
    (parent,) = runs_of(config, "tags.`adamms.kind` = 'search'")
    (chosen,) = runs_of(config, "tags.chosen = 'true'")
    shown = {name: value for name, value in parent.data.metrics.items() if "regret" in name or "lmms" in name}
    assert shown == {"ocr/regret": 2, "vqa/regret": 4, "regret": 3, "lmms_eval/ocrbench/accuracy": 0.25}
    shown = {name: value for name, value in chosen.data.metrics.items() if "accuracy" in name}
    assert shown == {"accuracy": 45, "ocr/accuracy": 60, "vqa/accuracy": 30}
    run.write(run.evaluation, judged)
    deliver(run, server)
    (chosen,) = runs_of(config, "tags.chosen = 'true'")
    assert chosen.data.metrics["accuracy"] == 60


def test_the_engine_is_the_one_that_answered(tmp_path: Path, config: TrackingConfig, server: Server) -> None:
    """A param of MLflow never changes, so `auto` is not told while the engine may still turn out."""
    run = described(tmp_path / "run", params={"engine": "auto", "dtype": "auto", "seed": "0"})
    run.set_status(RUNNING)
    deliver(run, server)
    (parent,) = runs_of(config)
    assert not {"engine", "dtype"} & parent.data.params.keys()
    engine = {"kind": "vllm", "dtype": "bfloat16", "device": "cuda", "versions": {"torch": "2.13.0", "vllm": "0.33.0"}}
    run.write(run.folder / "responses" / "engine.json", engine)
    write_candidate(run, 0.5, RESPONSES[0.5])
    deliver(run, server)
    for one in runs_of(config):
        shown = {"engine": "vllm", "dtype": "bfloat16", "device": "cuda", "torch": "2.13.0", "vllm": "0.33.0"}
        assert shown.items() <= one.data.params.items()


def test_a_file_system_without_locks_is_delivered_from_too(
    tmp_path: Path, config: TrackingConfig, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert deliver(write_search(tmp_path / "run"), server) > 0
    assert len(runs_of(config)) == 1 + len(RESPONSES)


def test_another_coefficient_has_its_own_name(tmp_path: Path, config: TrackingConfig, server: Server) -> None:
    run = described(tmp_path / "run", params={"coefficient": "density"})
    write_candidate(run, 0.5, RESPONSES[0.5])
    write_choice(run, select(RESPONSES, bootstrap=0).to_json())
    run.write(run.merged / "adamms.json", {"plan": "p", "recipe": {"method": "ties", "alpha": 0.9, "density": 0.5}})
    deliver(run, server)
    (child,) = runs_of(config, "params.density = '0.5'")
    assert (child.info.run_name, child.data.params["alpha"]) == ("density 0.5 (chosen)", "0.5")
    (parent,) = runs_of(config, "tags.`adamms.kind` = 'search'")
    assert "**density 0.5** was chosen" in parent.data.tags["mlflow.note.content"]
    assert server.client.get_model_version_by_alias("donor into base", "champion").tags["alpha"] == "0.5"


def test_a_model_is_registered_only_if_it_is_what_was_chosen(
    tmp_path: Path, config: TrackingConfig, server: Server
) -> None:
    run = write_search(tmp_path / "run")
    run.write(run.merged / "adamms.json", {"plan": "p", "recipe": {"alpha": 0.3}})  # of an earlier choice
    deliver(run, server)
    assert server.client.search_model_versions("") == []
    selection = run.read(run.selection)
    run.write(run.selection, {**selection, "tasks": {"ocr": {**selection, "alpha": 0.2}, "vqa": selection}})
    for task, alpha in (("ocr", 0.2), ("vqa", 0.5)):
        run.write(run.merged / task / "adamms.json", {"plan": "p", "recipe": {"alpha": alpha}})
    deliver(run, server)
    found = {version.name: version.tags["alpha"] for version in server.client.search_model_versions("")}
    assert found == {"donor into base - ocr": "0.2", "donor into base - vqa": "0.5"}


@pytest.mark.parametrize(
    ("params", "weights", "merged", "registered"),
    [
        ({}, {"a": 0.2, "b": 0.5}, [0.2, 0.5], True),
        ({}, {"a": 0.2, "b": 0.5}, [0.1, 0.5], False),
        ({"searched_donor": "2", "alpha_1": "0.2"}, {}, [0.2, 0.5], True),
        ({"searched_donor": "2", "alpha_1": "0.1"}, {}, [0.2, 0.5], False),
    ],
)
def test_of_several_donors_the_winner_is_registered_too(
    tmp_path: Path, config: TrackingConfig, server: Server, params: dict[str, str], weights: dict[str, float],
    merged: list[float], registered: bool,
) -> None:  # fmt: skip
    """The chosen 0.5 is the second donor's weight."""
    run = described(tmp_path / "run", params=params)
    told = {"weights": weights, "without": {}, "path": [], "candidates": 2} if weights else {}
    run.write(run.selection, select(RESPONSES, bootstrap=0).to_json() | told)
    run.write(run.merged / "adamms.json", {"plan": "p", "recipe": {"alpha": merged}})
    deliver(run, server)
    assert bool(server.client.search_model_versions("")) == registered


def test_a_wrong_password_loses_nothing(
    tmp_path: Path, config: TrackingConfig, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that does not let us in may do so later: with the right password, or when its accounts are there."""
    from mlflow.exceptions import MlflowException

    error = MlflowException("who are you?")
    monkeypatch.setattr(error, "get_http_status_code", lambda: 401)
    assert server.is_down(error)
    run = write_search(tmp_path / "run")
    with monkeypatch.context() as locked_out:
        locked_out.setattr(server.client, "log_batch", lambda *_, **__: (_ for _ in ()).throw(error))
        with pytest.raises(Unreachable):
            deliver(run, server)
    assert deliver(run, server) > 20
    assert len(runs_of(config)) == 1 + len(RESPONSES)


def test_a_delivery_that_is_cut_anywhere_goes_on_without_duplicates(tmp_path: Path, config: TrackingConfig) -> None:
    """Whatever the server dies at or we are killed at, before or after it was done, the end is the same."""
    run, first = write_search(tmp_path / "run"), f"sqlite:///{tmp_path}/first.db"
    shutil.copy(tmp_path / "mlflow.db", tmp_path / "first.db")
    deliver(run, Server(first, config.experiment))
    for cut in range(200):
        delivery = Delivery(run, Server(config.uri, config.experiment))
        try:
            with dying_after(delivery, cut % 2, before=cut % 4 < 2, killed=cut % 3 == 0):
                delivery.deliver()
        except (Unreachable, KeyboardInterrupt):
            continue
        break
    assert 10 < cut < 199
    assert delivery.waiting() == 0
    told, again = (
        sorted(
            (
                run.data.params.get("alpha", ""),
                run.info.status,
                run.info.start_time,
                run.data.metrics,
                len(run.data.tags),
            )
            for run in runs_of(replace(config, uri=uri))
        )
        for uri in (first, config.uri)
    )
    assert told == again
    client = Server(config.uri, config.experiment).client
    assert len(client.search_model_versions("")) == 1
    for one in runs_of(config):
        assert all(len(client.get_metric_history(one.info.run_id, name)) == 1 for name in one.data.metrics)


@contextmanager
def dying_after(delivery: Delivery, calls: int, before: bool, killed: bool) -> Iterator[None]:
    """The server does so much of what it is asked and then dies, or we are killed, before or after it did the next."""
    log, taken = delivery._log, 0
    death = KeyboardInterrupt if killed else ConnectionError

    def dying(run_id: str, items: Sequence[Item]) -> None:
        nonlocal taken
        if taken == calls and before:
            raise death
        log(run_id, items)
        if taken == calls:
            raise death
        taken += 1

    delivery._log = dying  # type: ignore[method-assign]
    yield
