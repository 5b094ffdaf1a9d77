"""The MLflow server with the arguments, environment and accounts of its manifest, on a real PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.manifests import containers, manifests
from tests.tracking.conftest import free_port, postgresql, wait_for

pytestmark = pytest.mark.slow
ALL = manifests()
(CONTAINER,) = containers(ALL["mlflow.yaml Deployment mlflow"])
ACCOUNTS = ALL["mlflow.yaml ConfigMap mlflow-accounts"]["data"]["basic_auth.ini"]
SECRETS = {
    "PGPASSWORD": "unused: this PostgreSQL trusts local users",
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "s" * 64,
    "MLFLOW_AUTH_ADMIN_USERNAME": "admin",
    "MLFLOW_AUTH_ADMIN_PASSWORD": "p" * 32,
}


@pytest.fixture
def server(environment: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """Its address. Only places differ from the manifest's: the database, the port, the artifacts' folder."""
    port = free_port()
    with postgresql() as database:
        here = database.removeprefix("postgresql://mlflow@")
        places = {"mlflow-database:5432/mlflow": here, "/artifacts": str(tmp_path), "/etc/mlflow": str(tmp_path)}

        def placed(text: str) -> str:
            for there, found in places.items():
                text = text.replace(there, found)
            return text.replace("5000", str(port))

        (tmp_path / "basic_auth.ini").write_text(placed(ACCOUNTS))
        given = {variable["name"]: variable.get("value", "") for variable in CONTAINER["env"]}
        assert {name for name, value in given.items() if not value} == set(SECRETS)
        arguments = [placed(argument).replace("0.0.0.0", "127.0.0.1") for argument in CONTAINER["args"]]
        with subprocess.Popen(
            [sys.executable, "-m", *arguments],
            env=environment | {name: placed(value) for name, value in given.items()} | SECRETS,
            cwd=tmp_path,
            start_new_session=True,
        ) as process:
            wait_for(f"http://localhost:{port}{CONTAINER['livenessProbe']['httpGet']['path']}", process)
            yield f"http://localhost:{port}"
            process.terminate()


def test_it_keeps_runs_for_those_with_an_account(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    api = f"{server}/api/2.0/mlflow/experiments/search?max_results=1"
    assert status_of(api) == 401
    assert status_of(api.replace("localhost", "127.0.0.1")) == 403, "not a name that it answers to"

    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", SECRETS["MLFLOW_AUTH_ADMIN_USERNAME"])
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRETS["MLFLOW_AUTH_ADMIN_PASSWORD"])
    client = mlflow.MlflowClient(server)
    run = client.create_run(client.create_experiment("team")).info.run_id
    client.log_text(run, "hello", "note.txt")
    assert [file.path for file in client.list_artifacts(run)] == ["note.txt"]
    assert list(tmp_path.rglob("note.txt")), "in the volume, by way of the server"


def status_of(address: str) -> int:
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
