"""The folder of a small finished search, and what MLflow has of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adamms.prompts.prompt import Prompt
from adamms.runs.run_folder import FINISHED, RUNNING, RunFolder
from adamms.selecting.selection import select
from adamms.tracking.config import TrackingConfig
from adamms.tracking.delivery import Delivery
from adamms.tracking.server import Server
from tests.support.searches import write_candidate, write_choice

PARAMS = {"base": "models/base", "donor": "models/donor", "method": "linear"}
RESPONSES = {
    0.0: {"a": "one", "b": "two", "c": "three"},
    0.5: {"a": "one", "b": "two", "c": "four"},
    1.0: {"a": "six", "b": "two", "c": "four"},
}


def described(
    folder: Path, key: str = "key-1", parent: RunFolder | None = None, params: Mapping[str, str] | None = None
) -> RunFolder:
    """A search that has just begun."""
    run = RunFolder(folder)
    run.describe(key, "donor into base", {**PARAMS, **(params or {})}, parent)
    run.describe_prompts({"": [Prompt(name, f"{name}?") for name in "abc"]}, {"": "tasks/fruit.jsonl"}, seed=0)
    return run


def write_search(folder: Path, key: str = "key-1", parent: RunFolder | None = None) -> RunFolder:
    """All that a search leaves which has answered, chosen and exported."""
    run = described(folder, key, parent)
    run.write_settings("adamms search --config pair.yaml", "base: x\n")
    run.set_status(RUNNING)
    for alpha, answers in RESPONSES.items():
        write_candidate(run, alpha, answers)
    write_choice(run, select(RESPONSES, bootstrap=0).to_json())
    run.write(run.plan, {"warnings": ["merged in part only"]})
    run.set_status(FINISHED)
    return run


def deliver(run: RunFolder, server: Server) -> int:
    """As a search does that is run again: nothing is remembered but in the folder."""
    return Delivery(run, server).deliver()


def runs_of(config: TrackingConfig, query: str = "") -> list[Any]:
    """The runs in the configured experiment."""
    import mlflow

    client = mlflow.MlflowClient(config.uri)
    experiment = client.get_experiment_by_name(config.experiment)
    return [] if experiment is None else list(client.search_runs([experiment.experiment_id], query))
