"""A real MLflow server, what can be asked of it, and a network that fails."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adamms.runs.run_folder import FINISHED, RUNNING
from adamms.tracking import Tracking, deliver_run
from adamms.tracking.config import TrackingConfig
from adamms.tracking.server import Server
from tests.support.forwarder import Forwarder
from tests.support.searches import ALPHAS, track_made_up_search
from tests.tracking.searched import described

QWEN, ONEVISION, LLAVA = "models/qwen2-vl", "models/llava-onevision", "models/llava-1.5"


@pytest.fixture(scope="module")
def client(sqlite_server: str) -> Any:
    import mlflow

    return mlflow.MlflowClient(sqlite_server)


@pytest.fixture(scope="module")
def pairs(client: Any, sqlite_server: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of an experiment with two searches of one base, logged to the server as they ran."""
    config = TrackingConfig(uri=sqlite_server, experiment="pairs", system_metrics=False)
    for donor in (ONEVISION, LLAVA):
        track_made_up_search(config, tmp_path_factory.mktemp("run"), key=Path(donor).name, donor=donor)
    return str(client.get_experiment_by_name("pairs").experiment_id)


def test_best_alpha_of_each_pair(client: Any, pairs: str) -> None:
    runs = client.search_runs([pairs], "tags.chosen = 'true'")
    found = {(run.data.params["donor"], run.data.params["base"]): run.data.params["alpha"] for run in runs}
    assert found == {(ONEVISION, QWEN): "0.3", (LLAVA, QWEN): "0.3"}


def test_all_candidates_of_a_base_with_divergence_below_a_number(client: Any, pairs: str) -> None:
    runs = client.search_runs(
        [pairs], f"params.base = '{QWEN}' and metrics.either < 28", order_by=["metrics.either ASC"]
    )
    scores = [run.data.metrics["either"] for run in runs]
    assert scores == sorted(scores)
    assert max(scores) < 28
    everything = client.search_runs([pairs], "tags.`adamms.kind` = 'candidate'")
    assert len(everything) == 2 * len(ALPHAS)
    assert len(runs) == sum(run.data.metrics.get("either", 99) < 28 for run in everything) > 0


def test_what_was_chosen_last_week(client: Any, pairs: str) -> None:
    def chosen(since: datetime, until: datetime) -> int:
        start, end = (int(moment.timestamp() * 1000) for moment in (since, until))
        when = f"attributes.end_time >= {start} and attributes.end_time < {end}"
        return len(client.search_runs([pairs], f"tags.`adamms.kind` = 'search' and tags.chosen_alpha != '' and {when}"))

    now, week = datetime.now(), timedelta(days=7)
    assert chosen(now - week, now + timedelta(minutes=1)) == 2
    assert chosen(now - 2 * week, now - week) == 0


def test_what_a_search_leaves_on_a_server(
    client: Any, pairs: str, sqlite_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (parent,) = client.search_runs(
        [pairs], "tags.`adamms.search` = 'llava-onevision' and tags.`adamms.kind` = 'search'"
    )
    files = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert files == {"report.html", "selection.json", "figures"}
    figures = {file.path for file in client.list_artifacts(parent.info.run_id, "figures")}
    assert {"figures/divergence.png", "figures/divergence.html"} <= figures
    assert parent.data.metrics["seconds_answering"] == 96
    version = client.get_model_version_by_alias("llava-onevision into qwen2-vl, fruit", "champion")
    assert Path(version.tags["checkpoint"]).name == "merged", "it points at the checkpoint; nothing was copied"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", sqlite_server)  # MLflow's tables know no other way
    table = client.load_table(pairs, "responses.json", extra_columns=["run_id"])
    assert len(table) == 2 * len(ALPHAS) * 40, "the answers of all candidates can be compared"


@pytest.fixture
def network(sqlite_server: str) -> Iterator[Forwarder]:
    forwarder = Forwarder(sqlite_server)
    yield forwarder
    forwarder.close()


@pytest.mark.parametrize("lost", [1, 2, 5, 9])
def test_answers_that_are_lost_on_the_way_make_no_duplicates(
    network: Forwarder, client: Any, tmp_path: Path, lost: int
) -> None:
    """The server did what it was asked, but we are not told; asked again, it must not do it again."""
    config = TrackingConfig(uri=network.address, experiment=f"lost {lost}", system_metrics=False)
    Server(config.uri, config.experiment).check()  # the experiment is there
    network.lost = lost
    track_made_up_search(config, tmp_path / "run", key=f"lost-{lost}")
    network.lost = 0
    deliver_run(tmp_path / "run")
    runs = client.search_runs([str(client.get_experiment_by_name(f"lost {lost}").experiment_id)])
    alphas = sorted(run.data.params.get("alpha", "") for run in runs)
    assert alphas == ["", *(str(alpha) for alpha in ALPHAS)]


def test_a_server_that_goes_away_and_comes_back(network: Forwarder, client: Any, tmp_path: Path) -> None:
    config = TrackingConfig(uri=network.address, experiment="away", system_metrics=False)
    run = described(tmp_path)
    run.set_status(RUNNING)

    def measure(**found: float) -> None:
        run.write(run.costs, {"peaks": {**(run.read(run.costs) or {"peaks": {}})["peaks"], **found}})
        told("measured")

    with Tracking(config, run) as told:
        measure(before=1.0)
        network.down = True
        measure(during=2.0)
        time.sleep(0.5)
        network.down = False
        measure(after=3.0)
        run.set_status(FINISHED)
    (found,) = client.search_runs([str(client.get_experiment_by_name("away").experiment_id)])
    assert found.info.status == "FINISHED"
    assert found.data.metrics == {"before": 1.0, "during": 2.0, "after": 3.0}


def test_a_server_that_never_answers_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the connection and is silent, as behind some firewalls."""
    import socket

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = TrackingConfig(uri=f"http://127.0.0.1:{silent.getsockname()[1]}", system_metrics=False)
        started = time.monotonic()
        with Tracking(config, described(tmp_path)) as told:
            told("fine")
        assert time.monotonic() - started < 20
