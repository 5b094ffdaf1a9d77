"""A sweep as a user runs it, over real engines, Ray and MLflow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import adamms.commands.search
from adamms.engines.actor import EngineActor
from adamms.runs.responses import read_responses
from adamms.searching.budget import Budget, Usage
from adamms.searching.config import BudgetConfig
from pipelines import merge, search, sweep
from tests.pipelines.test_search import here, settings
from tests.support.tiny_models import TinyPair

ALPHAS = [0.0, 0.2, 0.4, 0.6]


@pytest.fixture
def config(tiny_pair: TinyPair, prompt_file: Path, tmp_path: Path) -> Path:
    """Two pairs with one base, one pair that cannot be merged; two tasks."""
    second = tmp_path / "second.jsonl"
    second.write_text(prompt_file.read_text().replace("What is", "Where is"))
    settings = {
        "sweep": {
            "pairs": {
                "first": {"base": str(tiny_pair.base), "donor": str(tiny_pair.donor)},
                "second": {"base": str(tiny_pair.base), "donor": str(tiny_pair.ancestor)},
                "broken": {"base": str(tiny_pair.base), "donor": str(tmp_path / "nowhere")},
            }
        },
        "prompts": {"tasks": {"what": str(prompt_file), "where": str(second)}, "n": 6},
        "engine": {"max_tokens": 8, "block_size": 6, "cpus": 1},
        "searching": {"metric": "either", "alphas": ALPHAS, "noise": 0, "block": 3},
        "tracking": {"uri": f"sqlite:///{tmp_path}/mlflow.db", "system_metrics": False},
        "run_dir": str(tmp_path / "sweep"),
    }
    file = tmp_path / "sweep.json"  # JSON is YAML
    file.write_text(json.dumps(settings))
    return file


def run(monkeypatch: pytest.MonkeyPatch, config: Path, *arguments: str, status: int = 0) -> None:
    monkeypatch.setattr(sys, "argv", ["sweep.py", "--config", str(config), *arguments])
    with pytest.raises(SystemExit) as ended:
        sweep.main()
    assert (ended.value.code or 0) == status


def rows(config: Path) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads((config.parent / "sweep" / "sweep.json").read_text())}


@pytest.mark.usefixtures("local_ray")
def test_a_sweep_finishes_what_it_can_and_does_only_what_is_missing_when_run_again(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import mlflow

    run(monkeypatch, config, "sweep.lanes=1", status=2)
    told = capsys.readouterr()
    assert "1 of 3 searches failed, see their notes: broken/linear" in told.err
    assert "broken/linear: " in told.out
    found = rows(config)
    assert {name: row["status"] for name, row in found.items()} == {
        "first/linear": "finished",
        "second/linear": "finished",
        "broken/linear": "failed",
    }
    for name in ("first/linear", "second/linear"):
        assert found[name]["tasks"].keys() == {"what", "where"}
        assert (config.parent / "sweep" / name / "merged" / "model.safetensors").is_file()
        answers = read_responses(config.parent / "sweep" / name / "responses")
        assert {alpha: len(given) for alpha, given in answers.items()} == dict.fromkeys(ALPHAS, 12)
    assert (config.parent / "sweep" / "figures" / "ranking.png").is_file()

    client = mlflow.MlflowClient(server := f"sqlite:///{config.parent}/mlflow.db")
    experiment = client.get_experiment_by_name("sweep").experiment_id
    runs = client.search_runs([experiment])
    parents = {run.info.run_id: run.data.tags.get("mlflow.parentRunId") for run in runs}
    kinds: dict[str, list[str]] = {}
    for one in runs:
        kinds.setdefault(one.data.tags["adamms.kind"], []).append(one.info.run_id)
    assert {kind: len(ids) for kind, ids in kinds.items()} == {"sweep": 1, "search": 2, "candidate": 8}
    assert {parents[search] for search in kinds["search"]} == set(kinds["sweep"])
    (top,) = kinds["sweep"]
    assert {"sweep.json", "ranking.json"} <= {file.path for file in client.list_artifacts(top)}
    figures = {file.path for file in client.list_artifacts(top, "figures")}
    assert figures == {"figures/ranking.png", "figures/ranking.html"}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)  # MLflow's tables know no other way
    table = client.load_table(experiment, "ranking.json", [top])
    assert list(table["name"])[-1] == "broken/linear", "what was not ranked comes last"
    assert dict(zip(table["name"], table["status"], strict=True)) == {n: row["status"] for n, row in found.items()}
    best = client.search_runs([experiment], "tags.`adamms.kind` = 'search' and metrics.chosen_alpha >= 0")
    assert {run.data.params["run_dir"]: run.data.metrics["chosen_alpha"] for run in best} == {
        str(config.parent / "sweep" / name): found[name]["alpha"] for name in ("first/linear", "second/linear")
    }, "the best alpha of each pair"
    assert {parents[candidate] for candidate in kinds["candidate"]} == set(kinds["search"])

    def fails(*arguments: Any) -> None:
        raise AssertionError("an engine was started")

    monkeypatch.setattr(EngineActor, "__init__", fails)
    run(monkeypatch, config, "sweep.lanes=1", status=2)
    again = rows(config)
    assert [row["status"] for row in again.values()] == ["unchanged", "unchanged", "failed"]
    assert all(again[name]["alpha"] == row["alpha"] for name, row in found.items())
    assert len(client.search_runs([experiment])) == len(runs)


@pytest.mark.usefixtures("local_ray")
def test_searches_with_one_base_share_engines_and_answer_as_they_would_alone(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adamms.searching import warm_engines

    started: list[str] = []
    enter = warm_engines.InferencePool.__enter__

    def counting(pool: Any) -> Any:
        started.append(pool._spec.plan.donors[0].location)
        return enter(pool)

    monkeypatch.setattr(warm_engines.InferencePool, "__enter__", counting)
    folder = config.parent / "sweep"
    run(monkeypatch, config, "sweep.lanes=1", "tracking.enabled=false", status=2)
    assert len(started) == 1
    shared = {name: read_responses(folder / name / "responses") for name in ("first/linear", "second/linear")}
    run(monkeypatch, config, "sweep.lanes=2", "tracking.enabled=false", f"run_dir={folder}-alone", status=2)
    assert len(started) == 3
    alone = {name: read_responses(Path(f"{folder}-alone") / name / "responses") for name in shared}
    assert shared == alone


@pytest.mark.usefixtures("local_ray")
def test_a_sweep_stops_inside_its_budget_with_what_it_has(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So little time that nothing can be answered: every search says so, and nothing is lost for the next run."""
    run(monkeypatch, config, "budget.hours=1e-9", "tracking.enabled=false", status=2)
    first = rows(config)["first/linear"]
    assert first["status"] == "failed"
    assert "budget.hours=1e-09: over before every candidate had answered a first block" in first["warnings"][0]
    run(monkeypatch, config, "tracking.enabled=false", status=2)
    assert rows(config)["first/linear"]["status"] == "finished"


@pytest.mark.usefixtures("local_ray")
def test_a_search_that_its_budget_stops_has_the_best_choice_so_far_and_goes_on_later(
    tiny_pair: TinyPair, prompt_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stored() -> list[str]:
        files = (tmp_path / "run" / "responses").glob("*.jsonl")
        return [line for file in files for line in file.read_text().splitlines()]

    def by_answers(config: BudgetConfig) -> Budget:
        """Every answer takes a minute on its clock."""
        return Budget(config, Usage(lambda: 60.0 * len(stored())))

    limits = ["budget.hours=0.5", "searching.block=3", "searching.noise=0", "tracking.enabled=false", "engine.cpus=1"]
    arguments = [*settings(tiny_pair, prompt_file, tmp_path), *limits]
    monkeypatch.setattr(adamms.commands.search, "Budget", by_answers)
    here(monkeypatch, search, *arguments)
    chosen = json.loads((tmp_path / "run" / "selection.json").read_text())
    used = chosen["prompts"]["used"]
    assert 0 < used < 12
    assert chosen["warnings"][-1] == f"stopped by budget.hours=0.5 after {used} of 12 prompts"
    assert (tmp_path / "run" / "merged" / "model.safetensors").is_file()
    kept = (tmp_path / "run" / "report.html").read_text()
    assert "stopped by budget.hours=0.5" in kept
    monkeypatch.setattr(adamms.commands.search, "Budget", Budget)
    here(monkeypatch, search, *arguments)
    whole = json.loads((tmp_path / "run" / "selection.json").read_text())
    assert whole["prompts"]["used"] == 12
    assert len(stored()) == 12 * len(ALPHAS), "no answer was asked for twice"


def test_what_is_wrong_with_a_sweep_is_said_before_anything_is_written(config: Path, tmp_path: Path) -> None:
    command = [sys.executable, "pipelines/sweep.py", "--config", str(config), "sweep.pairs.first.dnor=x"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "error: sweep.pairs.first: settings: dnor" in done.stderr
    assert not (tmp_path / "sweep").exists()


def test_a_merge_from_settings_alone(tiny_pair: TinyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "merged"
    models = [f"base={tiny_pair.base}", f"donor={tiny_pair.donor}"]
    here(monkeypatch, merge, *models, "alpha=0.3", f"output={output}")
    assert json.loads((output / "adamms.json").read_text())["recipe"] == {"method": "linear", "alpha": 0.3}
