"""A search for the shipped pair against a server as a team has it: PostgreSQL, and artifacts kept by the server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.shipped_pair import ONE_TASK
from tests.tracking.conftest import ROOT, Browser

pytestmark = pytest.mark.slow


def run_pipeline(name: str, folder: Path, uri: str, *settings: str) -> str:
    command = [sys.executable, str(ROOT / "pipelines" / name), *ONE_TASK]
    command += [f"run_dir={folder}", f"tracking.uri={uri}", "engine.kind=transformers", *settings]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_raylet_start_wait_time_s": "240"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_search_on_a_team_s_server(postgresql_server: str, browser: Browser, tmp_path: Path) -> None:
    import mlflow

    run_dir = tmp_path / "run"
    printed = run_pipeline("search.py", run_dir, postgresql_server, "prompts.n=40")
    assert str(run_dir / "report.html") in printed
    client = mlflow.MlflowClient(postgresql_server)
    experiment = client.get_experiment_by_name("demo").experiment_id
    (parent,) = client.search_runs([experiment], "tags.`adamms.kind` = 'search'")
    candidates = client.search_runs([experiment], "tags.`adamms.kind` = 'candidate'")
    assert len(candidates) == 7
    assert {run.info.status for run in [parent, *candidates]} == {"FINISHED"}
    assert {"report.html", "plan.json", "selection.json", "settings.yaml", "figures"} == {
        file.path for file in client.list_artifacts(parent.info.run_id)
    }
    (winner,) = client.search_runs([experiment], "tags.chosen = 'true'")
    (model,) = client.search_registered_models()
    champion = client.get_model_version_by_alias(model.name, "champion")
    assert champion.tags["checkpoint"] == str(run_dir / "merged")
    assert champion.tags["alpha"] == winner.data.params["alpha"]

    browser.open(f"{postgresql_server}/#/experiments/{experiment}/runs")
    browser.wait("document.body.innerText.includes('matching runs')")
    browser.screenshot("demo-runs")
    browser.open((run_dir / "report.html").as_uri())
    browser.shows("alpha = ")
    browser.screenshot("demo-report", whole=True)
    again = run_pipeline("search.py", run_dir, postgresql_server, "prompts.n=40")
    assert "<- chosen" in again
    assert len(client.search_runs([experiment])) == 8, "run again, it goes on in the same runs"
    assert len(client.search_model_versions(f"name = '{model.name}'")) == 1
