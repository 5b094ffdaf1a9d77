"""The same commands, sent to a Ray cluster: `ray job submit --working-dir . -- python pipelines/search.py ...`.

A head with its job server and two machines, all in processes of their own, with token authentication.
"""

from __future__ import annotations

import json
import re
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.pipelines.test_search import settings
from tests.support.cluster import (
    ROOT,
    MlflowServer,
    RayCluster,
    cluster_environment,
    command_of,
    ray_cluster,
    wait_until,
)
from tests.support.tiny_models import TinyPair

ALPHAS = [0.0, 0.2, 0.4, 0.6]
PAIRS = ("donor-into-base", "ancestor-into-base", "base-into-donor", "ancestor-into-donor")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    token = tmp_path_factory.mktemp("token") / "token"
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    with ray_cluster(cluster_environment(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(token))) as found:
        yield found


def test_the_search_runs_as_a_ray_job(
    cluster: RayCluster, tiny_pair: TinyPair, prompt_file: Path, tmp_path: Path
) -> None:
    script = ["python", "pipelines/search.py", *settings(tiny_pair, prompt_file, tmp_path), "engine.actors=2"]
    done = cluster.job("submit", "--working-dir", str(ROOT), "--", *script)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "<- chosen" in done.stdout
    assert json.loads((tmp_path / "run" / "selection.json").read_text())["alpha"] in (0.2, 0.4)
    assert (tmp_path / "run" / "merged" / "model.safetensors").is_file()


def test_without_the_token_nothing_is_run(cluster: RayCluster, tmp_path: Path) -> None:
    """With it the same command was run, by the test above."""
    script = [sys.executable, "-c", f"open({str(tmp_path / 'ran')!r}, 'w')"]
    for refused in ({"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_TOKEN_PATH": "", "RAY_AUTH_TOKEN": "0" * 64}):
        done = cluster.job("submit", "--", *script, **refused)
        assert done.returncode != 0
        assert re.search(r"(?i)unauthori[sz]ed|authentication|invalid.*token|401|403", done.stdout + done.stderr)
    assert not list(tmp_path.iterdir())


def test_the_job_server_listens_on_the_loopback_interface(cluster: RayCluster) -> None:
    """What machines of a cluster say to each other cannot stay there; the token guards that."""
    assert cluster.head is not None
    port = int(cluster.jobs.rpartition(":")[2])
    addresses = {place.ip for place in listening(cluster.head.processes()) if place.port == port}
    assert addresses == {"127.0.0.1"}


@pytest.mark.slow
def test_a_sweep_is_submitted_watched_and_ranked(
    cluster: RayCluster, server: MlflowServer, tiny_pair: TinyPair, prompt_file: Path, tmp_path: Path
) -> None:
    config = sweep_config(tiny_pair, prompt_file, tmp_path, server)
    job = submit(cluster, "sweep", config)
    wait_until(lambda: status(cluster, job) in ENDED, 500, "the sweep's end")
    logs = cluster.job("logs", job).stdout
    assert status(cluster, job) == "SUCCEEDED", logs
    rows = json.loads((tmp_path / "sweep" / "sweep.json").read_text())
    assert sorted(row["name"] for row in rows) == sorted(f"{pair}/linear" for pair in PAIRS)
    assert {row["status"] for row in rows} == {"finished"}
    places = [logs.rindex(f" {row['name']} ") for row in rows]
    assert places == sorted(places), "the table in the log has them in the same order"

    (sweep,) = runs(server, "tags.`adamms.kind` = 'sweep'")
    searches = runs(server, f"tags.`mlflow.parentRunId` = '{sweep.info.run_id}'")
    assert len(searches) == len(PAIRS)
    for one in searches:
        candidates = runs(server, f"tags.`mlflow.parentRunId` = '{one.info.run_id}'")
        assert sorted(float(run.data.params["alpha"]) for run in candidates) == ALPHAS
    assert {run.info.status for run in [sweep, *searches]} == {"FINISHED"}

    again = submit(cluster, "sweep", config)
    wait_until(lambda: status(cluster, again) in ENDED, 300, "the second run's end")
    assert {row["status"] for row in json.loads((tmp_path / "sweep" / "sweep.json").read_text())} == {"unchanged"}


@pytest.mark.slow
@pytest.mark.parametrize("pipeline", ["search", "sweep"])
def test_a_stopped_job_says_so_and_goes_on_when_submitted_again(
    cluster: RayCluster,
    server: MlflowServer,
    tiny_pair: TinyPair,
    prompt_file: Path,
    tmp_path: Path,
    pipeline: str,
) -> None:
    calm, stopped = tmp_path / "calm", tmp_path / "stopped"
    for folder in (calm, stopped):
        folder.mkdir()
    make = search_config if pipeline == "search" else sweep_config
    undisturbed = submit(cluster, pipeline, make(tiny_pair, prompt_file, calm, server))
    config = make(tiny_pair, prompt_file, stopped, server)
    wait_until(lambda: status(cluster, undisturbed) in ENDED, 500, "the undisturbed job's end")

    job = submit(cluster, pipeline, config)
    wait_until(lambda: answers(stopped), 200, "first answers")
    cluster.job("stop", job)
    assert status(cluster, job) == "STOPPED"
    kept = answers(stopped)
    assert len(kept) < len(answers(calm)), "stopped too late to show anything"
    folders = {path.parent for path in stopped.rglob("plan.json")}
    assert not list(stopped.rglob("merged/*"))
    assert not list(stopped.rglob("*staging*"))
    told = {run.data.tags["adamms.kind"]: run.info.status for folder in folders for run in found_in(server, folder)}
    assert told["search"] == "KILLED"
    if pipeline == "sweep":
        (sweep,) = (run for run in runs(server, "tags.`adamms.kind` = 'sweep'") if str(stopped) in str(run.data.params))
        assert sweep.info.status == "KILLED"

    again = submit(cluster, pipeline, config)
    wait_until(lambda: status(cluster, again) in ENDED, 500, "the end of the job submitted again")
    assert status(cluster, again) == "SUCCEEDED", cluster.job("logs", again).stdout
    assert kept <= answers(stopped)
    assert set(Counter(keys(stopped)).values()) == {1}, "no stored answer is asked for twice"
    assert choices(stopped) == choices(calm)


ENDED = ("SUCCEEDED", "FAILED", "STOPPED")


def search_config(pair: TinyPair, prompts: Path, folder: Path, server: MlflowServer) -> Path:
    """A search that answers for some seconds."""
    file = folder / "settings.json"  # JSON is YAML
    found = {"base": str(pair.base), "donor": str(pair.donor), "run_dir": str(folder / "run")}
    file.write_text(json.dumps({**found, "prompts": {"path": str(prompts)}, **slowly(server)}))
    return file


def sweep_config(pair: TinyPair, prompts: Path, folder: Path, server: MlflowServer) -> Path:
    """Four pairs over two tasks, two searches side by side."""
    models = {"base": pair.base, "donor": pair.donor, "ancestor": pair.ancestor}
    pairs = {name: name.split("-into-") for name in PAIRS}
    given = {name: {"base": str(models[base]), "donor": str(models[donor])} for name, (donor, base) in pairs.items()}
    second = folder / "where.jsonl"
    second.write_text(prompts.read_text().replace("What is", "Where is"))
    tasks = {"what": str(prompts), "where": str(second)}
    found = {"run_dir": str(folder / "sweep"), "prompts": {"tasks": tasks, "n": 6}, **slowly(server)}
    file = folder / "settings.json"
    file.write_text(json.dumps({**found, "sweep": {"pairs": given, "lanes": 2}}))
    return file


def slowly(server: MlflowServer) -> dict[str, Any]:
    return {
        "engine": {"max_tokens": 128, "block_size": 1, "cpus": 1},
        "searching": {"metric": "either", "alphas": ALPHAS, "noise": 0},
        "tracking": {"uri": server.address, "system_metrics": False},
    }


def submit(cluster: RayCluster, pipeline: str, config: Path) -> str:
    """Its id."""
    script = ["python", f"pipelines/{pipeline}.py", "--config", str(config)]
    done = cluster.job("submit", "--no-wait", "--working-dir", str(ROOT), "--", *script)
    assert done.returncode == 0, done.stderr
    found = re.search(r"raysubmit_\w+", done.stdout + done.stderr)
    assert found
    return found.group()


def status(cluster: RayCluster, job: str) -> str:
    time.sleep(1)  # asking takes a core for seconds
    done = cluster.job("status", job)
    found = re.search(r"PENDING|RUNNING|STOPPED|SUCCEEDED|FAILED", (done.stdout + done.stderr).upper())
    assert found, done.stdout + done.stderr
    return found.group()


def runs(server: MlflowServer, query: str) -> list[Any]:
    import mlflow

    client = mlflow.MlflowClient(server.address)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(experiments, query))


def found_in(server: MlflowServer, run_dir: Path) -> list[Any]:
    """The runs of the search in a folder."""
    return server.runs(json.loads((run_dir / "search.json").read_text())["key"])


def keys(folder: Path) -> list[str]:
    """Of all stored answers, as often as they are stored."""
    lines = [line for file in folder.rglob("responses/*.jsonl") for line in file.read_text().split("\n")[:-1]]
    return [json.loads(line)["key"] for line in lines]


def answers(folder: Path) -> set[str]:
    return set(keys(folder))


def choices(folder: Path) -> dict[str, Any]:
    """Of every search below a folder, but for what it measured of time and chance."""
    found = {}
    for file in folder.rglob("selection.json"):
        chosen = json.loads(file.read_text())
        found[str(file.relative_to(folder))] = {**chosen, "noise": None}
    return found


def listening(processes: list[psutil.Process]) -> list[Any]:
    """Where they take connections from other processes."""
    found = []
    for process in processes:
        try:
            found += [one.laddr for one in process.net_connections("inet") if one.status == psutil.CONN_LISTEN]
        except psutil.Error:
            assert not process.is_running() or not command_of(process)
    return found
