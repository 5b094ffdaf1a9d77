"""The whole path as a user runs it: commands in processes of their own, on real Ray and MLflow."""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean
from types import ModuleType
from typing import Any

import pytest

from adamms.commands.select import select
from adamms.commands.settings import SearchSettings
from adamms.config import load_settings
from adamms.runs.responses import read_responses
from adamms.support.normalize import normalize_answer
from adamms.tracking import deliver_run
from pipelines import evaluate, search
from tests.support.tiny_models import TinyPair

ROOT = Path(__file__).parents[2]
SEARCH = [sys.executable, str(ROOT / "pipelines" / "search.py")]
ALPHAS = [0.0, 0.2, 0.4, 0.6]


def run(command: list[str], cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=300, check=False)


def here(monkeypatch: pytest.MonkeyPatch, pipeline: ModuleType, *arguments: str, status: int = 0) -> None:
    """A pipeline in this process, on the Ray of the `local_ray` fixture: quicker than a process of its own."""
    monkeypatch.setattr(sys, "argv", [pipeline.__name__, *arguments])
    with pytest.raises(SystemExit) as ended:
        pipeline.main()
    assert (ended.value.code or 0) == status


def tracked(folder: Path, experiment: str) -> list[str]:
    """Tracking into the database that another search has made, which takes seconds."""
    return [
        f"tracking.uri=sqlite:///{folder}/mlflow.db",
        f"tracking.experiment={experiment}",
        "tracking.system_metrics=false",
    ]


def runs_of(folder: Path, experiment: str) -> tuple[Any, list[Any]]:
    """On the dashboard that `settings` names: the only search of an experiment, and its candidates by alpha."""
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    (parent,) = (run for run in runs if run.data.tags["adamms.kind"] == "search")
    assert all(run.data.tags["mlflow.parentRunId"] == parent.info.run_id for run in runs if run is not parent)
    return parent, sorted((run for run in runs if run is not parent), key=lambda run: float(run.data.params["alpha"]))


def settings(pair: TinyPair, prompts: Path, folder: Path) -> list[str]:
    return [
        f"base={pair.base}",
        f"donor={pair.donor}",
        f"prompts.path={prompts}",
        f"run_dir={folder / 'run'}",
        f"tracking.uri=sqlite:///{folder}/mlflow.db",
        f"searching.alphas={ALPHAS}",
        "searching.metric=either",  # no second engine
        "engine.max_tokens=8",
        "engine.block_size=4",
    ]


@pytest.fixture(scope="module")
def searched(tiny_pair: TinyPair, prompt_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a search has run to its end."""
    folder = tmp_path_factory.mktemp("searched")
    done = run([*SEARCH, *settings(tiny_pair, prompt_file, folder)])
    assert done.returncode == 0, done.stderr
    assert "<- chosen" in done.stdout
    assert f"mlflow ui --backend-store-uri sqlite:///{folder}/mlflow.db" in done.stdout
    return folder


def test_a_search_leaves_what_it_promises(searched: Path) -> None:
    run_dir = searched / "run"
    assert {"plan.json", "responses", "selection.json", "merged", "report.html", "figures", "settings.yaml"} <= {
        path.name for path in run_dir.iterdir()
    }
    responses = read_responses(run_dir / "responses")
    assert {alpha: len(answers) for alpha, answers in responses.items()} == dict.fromkeys(ALPHAS, 12)
    selection = json.loads((run_dir / "selection.json").read_text())
    assert selection["alpha"] in ALPHAS[1:-1]


def test_the_report_tells_of_this_search(searched: Path) -> None:
    page = (searched / "run" / "report.html").read_text()
    noise = json.loads((searched / "run" / "noise.json").read_text())
    floor = 12 * noise["differing"] / noise["asked"]
    for text in ("tensors merge", "pipelines/search.py", "What is in picture", "data:image/png",
                 f"noise floor (same alpha twice): {floor:.3g}", f"{noise['differing']} of {noise['asked']}",
                 "peak memory of an engine"):  # fmt: skip
        assert text in page, text
    again = load_settings(SearchSettings, searched / "run" / "settings.yaml", [])
    assert Path(again.run_dir) == searched / "run", "the settings are a file that --config takes"


def test_everything_was_delivered(searched: Path) -> None:
    done = run([sys.executable, "-m", "adamms.cli", "track", str(searched / "run")])
    assert (done.returncode, done.stdout) == (0, f"0 records delivered to sqlite:///{searched}/mlflow.db\n"), (
        done.stderr
    )


def test_select_prints_what_the_search_saved(searched: Path) -> None:
    done = run([sys.executable, "-m", "adamms.cli", "select", str(searched / "run" / "responses"), "--json"])
    assert done.returncode == 0, done.stderr
    again, saved = json.loads(done.stdout), json.loads((searched / "run" / "selection.json").read_text())
    assert (again["alpha"], again["scores"]) == (saved["alpha"], saved["scores"])


def test_the_winner_answers_as_it_did_in_the_search(searched: Path, prompt_file: Path) -> None:
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    from adamms.engines.chat import conversation
    from adamms.prompts.config import PromptsConfig
    from adamms.prompts.prompt import load_prompts

    merged = searched / "run" / "merged"
    chosen = json.loads((searched / "run" / "selection.json").read_text())["alpha"]
    seen = read_responses(searched / "run" / "responses")[chosen]
    model = AutoModelForImageTextToText.from_pretrained(merged, dtype=torch.float32)
    processor = AutoProcessor.from_pretrained(merged)
    for prompt in load_prompts(PromptsConfig(path=str(prompt_file))):
        inputs = processor.apply_chat_template(
            conversation(prompt), add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
        tokens = model.generate(**inputs, max_new_tokens=8, do_sample=False)[0, inputs["input_ids"].shape[1] :]
        assert processor.tokenizer.decode(tokens, skip_special_tokens=True) == seen[prompt.id]


def test_the_dashboard_has_a_parent_and_every_candidate(searched: Path) -> None:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{searched}/mlflow.db")
    parent, children = runs_of(searched, "adamms")
    assert [float(child.data.params["alpha"]) for child in children] == ALPHAS
    saved = json.loads((searched / "run" / "selection.json").read_text())
    noise = json.loads((searched / "run" / "noise.json").read_text())
    assert noise["asked"] == 12
    assert parent.data.metrics["noise_floor"] == 12 * noise["differing"] / noise["asked"]
    peaks = [child.data.metrics["peak_memory_gb"] for child in children]
    assert 0.1 < min(peaks) <= max(peaks) == parent.data.metrics["peak_memory_gb"] < 100
    assert [data.dataset.name for data in parent.inputs.dataset_inputs] == ["prompts"]
    for child in children:
        alpha = child.data.params["alpha"]
        assert child.data.metrics.get("either") == saved["scores"][alpha]
        assert child.data.metrics["generate_seconds"] > 0
        assert (child.data.tags.get("chosen") == "true") == (float(alpha) == saved["alpha"])
        assert [file.path for file in client.list_artifacts(child.info.run_id)] == ["responses.json"]
        assert child.inputs.dataset_inputs == parent.inputs.dataset_inputs


def test_a_killed_search_goes_on_where_it_stopped(
    searched: Path, tiny_pair: TinyPair, prompt_file: Path, tmp_path: Path
) -> None:
    """Killed once answers are stored; the rerun asks for the others only and chooses as without the kill."""
    command = [*SEARCH, *settings(tiny_pair, prompt_file, tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 300
        while not (first := stored(tmp_path)) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    assert first, "nothing was stored before the search ended"
    done = run(command)
    assert done.returncode == 0, done.stderr
    everything = stored(tmp_path)
    assert len(everything) == len(ALPHAS) * 12, "no (alpha, prompt) is answered twice"
    choice = json.loads((tmp_path / "run" / "selection.json").read_text())
    assert choice["scores"] == json.loads((searched / "run" / "selection.json").read_text())["scores"]


@pytest.mark.slow
@pytest.mark.timeout(1800)  # ten whole searches, on average
def test_twenty_kills_at_random_moments_cost_nothing_that_was_stored(
    searched: Path, tiny_pair: TinyPair, prompt_file: Path, tmp_path: Path
) -> None:
    """Each time the same command goes on; in the end it has answered everything once and chooses as without kills."""
    command = [*SEARCH, *settings(tiny_pair, prompt_file, tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = time.monotonic()
    assert run([*SEARCH, *settings(tiny_pair, prompt_file, tmp_path / "whole")]).returncode == 0
    whole, dice, kept = time.monotonic() - started, random.Random(0), set[str]()
    for _ in range(20):
        with subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            time.sleep(dice.uniform(0, whole))
            with contextlib.suppress(ProcessLookupError):  # it was faster
                os.killpg(process.pid, signal.SIGKILL)
        now = stored(tmp_path)
        assert kept <= set(now), "what was stored stays"
        kept = set(now)
    done = run(command)
    assert done.returncode == 0, done.stderr
    assert len(stored(tmp_path)) == len(ALPHAS) * 12, "no (alpha, prompt) is answered twice"
    choice, expected = (
        json.loads((folder / "run" / "selection.json").read_text()) for folder in (tmp_path, tmp_path / "whole")
    )
    assert {**choice, "noise": None} == {**expected, "noise": None}


@pytest.fixture(scope="module")
def tasks(
    searched: Path, tiny_pair: TinyPair, prompt_file: Path, tmp_path_factory: pytest.TempPathFactory, local_ray: None
) -> tuple[Path, list[str]]:
    """A folder in which a search over two tasks has run to its end, and its settings."""
    folder = tmp_path_factory.mktemp("tasks")
    lines = prompt_file.read_text().splitlines(keepends=True)
    (folder / "near.jsonl").write_text("".join(lines[:6]))
    (folder / "far.jsonl").write_text("".join(lines[4:]))  # two prompts are in both
    own = [setting for setting in settings(tiny_pair, prompt_file, folder) if not setting.startswith("prompts.path")]
    own += [f"prompts.tasks.{name}={folder / name}.jsonl" for name in ("near", "far")]
    own += ["searching.export=each", "searching.stop=confident", "searching.block=3", *tracked(searched, "tasks")]
    with pytest.MonkeyPatch.context() as monkeypatch:
        here(monkeypatch, search, *own)
    return folder, own


def test_several_tasks_are_searched_at_once(
    searched: Path, tasks: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An alpha for each task and one for all, from one engine; a checkpoint of each."""
    folder, own = tasks
    run_dir = folder / "run"
    selection = json.loads((run_dir / "selection.json").read_text())
    assert set(selection["tasks"]) == {"near", "far"}
    assert selection["effort"]["answers"] <= selection["effort"]["of"] == len(ALPHAS) * 14
    for name, found in selection["tasks"].items():
        assert found["alpha"] in ALPHAS[1:-1]
        assert (run_dir / "merged" / name / "config.json").is_file()
    here(monkeypatch, search, *own)
    assert json.loads((run_dir / "selection.json").read_text()) == selection
    assert {"tasks.png", "tasks.html"} <= {path.name for path in (run_dir / "figures").iterdir()}
    parent, candidates = runs_of(searched, "tasks")
    for found in (parent, *candidates):
        assert sorted(data.dataset.name for data in found.inputs.dataset_inputs) == ["far", "near"]


@pytest.mark.slow  # engines start for the candidates and for the donor
def test_every_task_is_judged(searched: Path, tasks: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Right is whatever the first candidate answers to one task; to the other, nothing that anybody says."""
    (folder, own), labelled = tasks, []
    run_dir = folder / "run"
    first = read_responses(run_dir / "responses")[ALPHAS[0]]
    for task, answer in (("near", lambda name: first[f"near/{name}"].strip()), ("far", lambda _: "of course")):
        rows = [json.loads(line) for line in (folder / f"{task}.jsonl").read_text().splitlines()]
        rows = [{**row, "answer": answer(row["id"])} for row in rows if f"{task}/{row['id']}" in first]
        file = folder / f"{task}-labelled.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        labelled.append(f"labelled.tasks.{task}={file}")
    here(monkeypatch, evaluate, *own, *labelled)
    judged = json.loads((run_dir / "evaluation.json").read_text())
    assert (judged["near"]["accuracy"]["0.0"], judged["near"]["oracle"]) == (100, 0)
    assert set(judged["far"]["accuracy"].values()) == {0}
    page = (run_dir / "report.html").read_text()
    cells = [f">{row}</td>" for row in ("near", "far", "mean")]
    for text in ("Judged by the labelled prompts", *cells, "mean of 2 tasks", ">100.0</td>"):
        assert text in page, text
    assert {"tasks.png", "accuracy.png"} <= {path.name for path in (run_dir / "figures").iterdir()}
    parent, candidates = runs_of(searched, "tasks")
    shown = {float(run.data.params["alpha"]): run.data.metrics for run in candidates}
    assert [shown[0.0][name] for name in ("near/accuracy", "far/accuracy", "accuracy")] == [100, 0, 50]
    assert parent.data.metrics["near/regret"] == 100 - shown[judged["near"]["chosen"]]["near/accuracy"]


def test_another_coefficient_is_searched(
    tiny_pair: TinyPair, prompt_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local_ray: None
) -> None:
    own = settings(tiny_pair, prompt_file, tmp_path)
    ties = [f"ancestor={tiny_pair.ancestor}", "merging.method=ties", "searching.coefficient=density"]
    more = ["searching.alphas=[0.1,0.4,0.7]", "prompts.n=4", "tracking.enabled=false", "searching.noise=0"]
    here(monkeypatch, search, *own, *ties, *more)
    assert json.loads((tmp_path / "run" / "selection.json").read_text())["alpha"] == 0.4
    recipe = json.loads((tmp_path / "run" / "merged" / "adamms.json").read_text())["recipe"]
    assert (recipe["density"], recipe["alpha"]) == (0.4, 0.5)


def scores_of(folder: Path, parent: str) -> dict[tuple[str, str], float]:
    files = (folder / "scored" / parent).glob("*.jsonl")
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return {(row["prompt_id"].rpartition("#")[0], row["response"]): mean(row["logprobs"] or [0]) for row in rows}


@pytest.mark.slow  # engines of base and donor one after the other, twice
def test_base_and_donor_score_the_answers_where_the_metric_wants_it(
    searched: Path, tiny_pair: TinyPair, prompt_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    local_ray: None, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    own = [*settings(tiny_pair, prompt_file, tmp_path), *tracked(searched, "parents"), "searching.noise=4"]
    own.append("searching.metric=logprob+parents")
    here(monkeypatch, search, *own)
    run_dir = tmp_path / "run"
    candidates, saved = read_responses(run_dir / "responses"), json.loads((run_dir / "selection.json").read_text())
    base, donor = scores_of(run_dir, "base"), scores_of(run_dir, "donor")
    assert base.keys() == donor.keys() == {(n, str(a)) for row in candidates.values() for n, a in row.items()}
    assert base != donor
    for alpha in ALPHAS:
        sure = [math.exp(mean(answer.logprobs)) for answer in candidates[alpha].values()]
        plausible = [math.exp((base[n, a] + donor[n, a]) / 2) for n, a in candidates[alpha].items()]
        expected = sum(1 - (s + p) / 2 for s, p in zip(sure, plausible, strict=True))
        assert saved["scores"][f"{alpha:g}" if alpha else "0.0"] == pytest.approx(expected, abs=1e-3)
    assert saved["alpha"] == min(ALPHAS, key=lambda alpha: saved["scores"][str(alpha)]), "end points count"
    assert json.loads((run_dir / "noise.json").read_text())["asked"] == 4
    again = ["select", str(run_dir), "--metric", "logprob+parents", "--json"]
    done = run([sys.executable, "-m", "adamms.cli", *again])
    assert json.loads(done.stdout)["alpha"] == saved["alpha"], done.stderr

    stored = {file: file.stat().st_mtime_ns for file in (run_dir / "scored").rglob("*.jsonl")}
    (run_dir / "selection.json").unlink()
    capsys.readouterr()
    here(monkeypatch, search, *own)
    assert "engine" not in capsys.readouterr().err, "all answers and scores are stored"
    assert {file: file.stat().st_mtime_ns for file in (run_dir / "scored").rglob("*.jsonl")} == stored
    assert json.loads((run_dir / "selection.json").read_text())["scores"] == pytest.approx(saved["scores"], abs=1e-3)

    in_words = tmp_path / "in-words"
    here(monkeypatch, search, *own, f"donor={tiny_pair.ancestor}", f"run_dir={in_words}")
    saved = json.loads((in_words / "selection.json").read_text())
    assert saved["metric"] == "logprob+parents"
    told = "the donor reads text only: it judged the answers by the questions without their pictures"
    assert told in saved["warnings"]
    assert len(scores_of(in_words, "donor")) == len(scores_of(in_words, "base")) > 0

    rows = [json.loads(line) | {"answer": "of course"} for line in prompt_file.read_text().splitlines()]
    labelled = tmp_path / "labelled.jsonl"
    labelled.write_text("".join(json.dumps(row) + "\n" for row in rows[:4]))
    here(monkeypatch, evaluate, *own, f"donor={tiny_pair.ancestor}", f"run_dir={in_words}", f"labelled.path={labelled}")
    assert json.loads((in_words / "evaluation.json").read_text())["donor"] == 0, "it answers without the pictures"

    unknown = shutil.copytree(tiny_pair.donor, tmp_path / "unknown")
    (unknown / "config.json").write_text((unknown / "config.json").read_text().replace('"llava_onevision"', '"gone"'))
    here(monkeypatch, search, *own, f"donor={unknown}", f"run_dir={tmp_path / 'unknown-run'}")
    saved = json.loads((tmp_path / "unknown-run" / "selection.json").read_text())
    assert saved["metric"] == "logprob"
    assert "the donor cannot score answers" in saved["warnings"][-1]


def test_a_few_labels_narrow_the_choice(
    searched: Path, tiny_pair: TinyPair, prompt_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    local_ray: None, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The labels are one candidate's own answers, so that it has all of them right."""
    answered = read_responses(searched / "run" / "responses")[0.6]
    rows = [json.loads(line) for line in prompt_file.read_text().splitlines()]
    rows = [row | {"answer": answered[row["id"]]} for row in rows if row["id"] in answered][:6]
    labels = prompt_file.with_name("labelled.jsonl")
    labels.write_text("".join(json.dumps(row) + "\n" for row in rows))
    own = [*settings(tiny_pair, prompt_file, tmp_path), *tracked(searched, "labels"), "searching.noise=0"]
    here(monkeypatch, search, *own, f"searching.labels={labels}")
    saved = json.loads((tmp_path / "run" / "selection.json").read_text())
    assert saved["labels"]["accuracy"]["0.6"] == 100
    assert saved["alpha"] == 0.6, "an end point, which only labels can choose"
    assert saved["labels"]["without"] == json.loads((searched / "run" / "selection.json").read_text())["alpha"]
    assert "6 labelled prompts (the best candidate has 100 % right) leave alpha" in saved["verdict"]
    again = select(tmp_path / "run")
    assert (again.chosen, again.verdict) == (0.6, saved["verdict"]), "a second selection knows the labels, too"
    capsys.readouterr()
    rows[0]["answer"] += " otherwise"
    labels.write_text("".join(json.dumps(row) + "\n" for row in rows))
    here(monkeypatch, search, *own, f"searching.labels={labels}", status=2)
    assert "belongs to another search (searching.labels was 6 (" in capsys.readouterr().err


@pytest.mark.slow  # two engines after each other, three times
def test_the_donor_is_asked_where_the_metric_wants_it(
    searched: Path, tiny_pair: TinyPair, prompt_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    local_ray: None, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    own = [*settings(tiny_pair, prompt_file, tmp_path), *tracked(searched, "donor"), "searching.metric=logprob+donor"]
    here(monkeypatch, search, *own, "searching.noise=4", "searching.stop=confident", "searching.block=6")
    run_dir = tmp_path / "run"
    candidates, (donor,) = read_responses(run_dir / "responses"), read_responses(run_dir / "donor").values()
    assert len(donor) == 12
    saved = json.loads((run_dir / "selection.json").read_text())
    names = [name for name in donor if all(name in answers for answers in candidates.values())]
    assert saved["prompts"]["used"] == len(names)
    for alpha in ALPHAS[1:-1]:
        unsure = [1 - math.exp(mean(candidates[alpha][name].logprobs)) for name in names]
        other = [normalize_answer(candidates[alpha][name]) != normalize_answer(donor[name]) for name in names]
        assert saved["scores"][str(alpha)] == pytest.approx((sum(unsure) + sum(other)) / 2)
    low, high = saved["intervals"][str(saved["alpha"])]
    assert low <= saved["scores"][str(saved["alpha"])] <= high
    page = (run_dir / "report.html").read_text()
    assert "Each candidate as a score (logprob+donor)" in page
    assert "noise floor" not in page, "it is a divergence between neighbours"
    again = ["select", str(run_dir / "responses"), "--metric", "logprob+donor", "--donor", str(run_dir / "donor")]
    done = run([sys.executable, "-m", "adamms.cli", *again, "--json"])
    assert json.loads(done.stdout)["alpha"] == saved["alpha"], done.stderr
    capsys.readouterr()
    before = len(list((run_dir / "donor").iterdir()))
    here(monkeypatch, search, *own, "searching.noise=0", "searching.stop=confident", "searching.block=6")
    assert len(list((run_dir / "donor").iterdir())) == before, "what the donor answered is kept"
    shorter = [*own, "searching.noise=0", "engine.max_tokens=4"]
    here(monkeypatch, search, *shorter, status=2)
    assert "belongs to another search (engine.max_tokens was 8, now 4; searching.stop was " in capsys.readouterr().err
    here(monkeypatch, search, *shorter, "--force")
    assert {"donor.old-1", "responses.old-1", "earlier-1"} < {path.name for path in run_dir.iterdir()}


def test_another_search_takes_the_folder_only_by_force_and_what_was_chosen_before_stays_findable(
    searched: Path, tiny_pair: TinyPair, prompt_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    local_ray: None, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    import mlflow

    own = [*settings(tiny_pair, prompt_file, tmp_path), *tracked(searched, "folder"), "prompts.n=6"]
    own += ["searching.noise=0", "tracking.model=ours"]
    here(monkeypatch, search, *own)
    run_dir = tmp_path / "run"
    first = json.loads((run_dir / "selection.json").read_text())["alpha"]
    other = next(alpha for alpha in ALPHAS[1:-1] if alpha != first)
    before = {path: path.stat().st_mtime_ns for path in run_dir.rglob("*")}

    narrower = [*own, f"searching.alphas=[0.0,{other},0.6]"]
    here(monkeypatch, search, *narrower, status=2)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    told = f"belongs to another search (searching.alphas was {ALPHAS}, now [0.0, {other}, 0.6]); give another run_dir"
    assert told in line
    here(monkeypatch, search, *own, "engine.max_tokens=9", status=2)
    assert {path: path.stat().st_mtime_ns for path in run_dir.rglob("*")} == before, "nothing was touched"

    here(monkeypatch, search, *narrower, "--force")
    assert json.loads((run_dir / "selection.json").read_text())["alpha"] == other
    assert json.loads((run_dir / "merged" / "adamms.json").read_text())["recipe"]["alpha"] == other
    assert len(stored(tmp_path)) == len(ALPHAS) * 6, "the answers hold for both, so none was asked for again"
    assert select(run_dir).chosen == other, "of the present search's candidates"
    earlier = run_dir / "earlier-1"
    assert json.loads((earlier / "selection.json").read_text())["alpha"] == first
    assert json.loads((earlier / "merged" / "adamms.json").read_text())["recipe"]["alpha"] == first

    client = mlflow.MlflowClient(f"sqlite:///{searched}/mlflow.db")
    experiment = [client.get_experiment_by_name("folder").experiment_id]
    chosen = {tag: client.search_runs(experiment, f"tags.chosen = '{tag}'") for tag in ("true", "earlier")}
    assert {tag: [float(run.data.params["alpha"]) for run in runs] for tag, runs in chosen.items()} == {
        "true": [other],
        "earlier": [first],
    }
    (now,), (then,) = chosen.values()
    siblings = client.search_runs(experiment, f"tags.`mlflow.parentRunId` = '{now.data.tags['mlflow.parentRunId']}'")
    assert sorted(float(run.data.params["alpha"]) for run in siblings) == [0.0, other, 0.6], "no grids mix"
    versions = {float(v.tags["alpha"]): v for v in client.search_model_versions("name = 'ours'")}
    assert {alpha: version.tags["checkpoint"] for alpha, version in versions.items()} == {
        first: str(earlier / "merged"),
        other: str(run_dir / "merged"),
    }
    assert client.get_model_version_by_alias("ours", "champion").version == versions[other].version
    assert then.data.tags["mlflow.parentRunId"] != now.data.tags["mlflow.parentRunId"]
    here(monkeypatch, search, *narrower)
    assert len(client.search_runs(experiment)) == 2 + len(ALPHAS) + 3, "run again, it goes on as ever"
    assert deliver_run(run_dir)[0] == 0, "all was delivered, of what gave way too"


def test_a_search_that_chooses_nothing_says_so_everywhere(
    searched: Path,
    tiny_pair: TinyPair,
    prompt_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    local_ray: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Almost every answer of these models begins with a letter that ends it here: all candidates answer nothing."""
    own = settings(tiny_pair, prompt_file, tmp_path)
    own += ['engine.stop=["\N{REPLACEMENT CHARACTER}"]', *tracked(searched, "nothing")]
    here(monkeypatch, search, *own, status=2)
    assert "nothing can be chosen: every candidate that is no end point is degenerate; try" in capsys.readouterr().err
    run_dir = tmp_path / "run"
    page = (run_dir / "report.html").read_text()
    for text in ("Nothing was chosen", "candidate that is no end point is degenerate", "nothing at all in answer"):
        assert text in page, text
    assert "is framed" not in page
    assert "Checkpoint:" not in page
    assert not (run_dir / "merged").exists()
    parent, candidates = runs_of(searched, "nothing")
    assert "degenerate" in parent.data.tags["verdict"]
    assert "chosen_alpha" not in parent.data.tags | parent.data.metrics
    assert {run.info.status for run in (parent, *candidates)} == {"FINISHED"}
    assert not [run for run in candidates if "chosen" in run.data.tags]
    assert all(run.data.metrics["rate_empty"] > 0.5 for run in candidates)

    labelled = tmp_path / "labelled.jsonl"
    labelled.write_text(json.dumps({"id": "a", "prompt": "What?", "answer": "that"}) + "\n")
    here(monkeypatch, evaluate, *own, f"labelled.path={labelled}", status=2)
    (line,) = capsys.readouterr().err.splitlines()
    assert "selection.json: the search chose nothing, so there is no choice to judge (nothing can be chosen" in line


@pytest.mark.slow  # an engine starts for every parent and baseline
def test_a_finished_search_is_judged_beside_baselines(
    searched: Path,
    tiny_pair: TinyPair,
    prompt_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    local_ray: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [json.loads(line) for line in prompt_file.read_text().splitlines()[:3]]
    labelled = tmp_path / "labelled.jsonl"
    labelled.write_text("".join(json.dumps({**row, "answer": "something"}) + "\n" for row in rows))
    own = [*settings(tiny_pair, prompt_file, searched), f"labelled.path={labelled}", f"ancestor={tiny_pair.ancestor}"]
    here(monkeypatch, evaluate, *own, "baselines=[ties,metagpt]")
    printed = capsys.readouterr().out
    assert [name for name in ("base", "donor", "ties", "metagpt", "AdaMMS", "oracle") if name not in printed] == []
    judged = json.loads((searched / "run" / "evaluation.json").read_text())
    assert set(judged["baselines"]) == {"ties", "metagpt"}
    assert set(judged["accuracy"]) == {"0.0", "0.2", "0.4", "0.6"}


def stored(folder: Path) -> list[str]:
    files = sorted((folder / "run" / "responses").glob("*.jsonl"))
    return [line for file in files for line in file.read_text().splitlines()]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("base=/no/such/folder", "/no/such/folder: no such folder"),
        ("serching.metric=sum", "serching: Key 'serching' not in 'SearchSettings'"),
        ("searching.alphas=[0,0.5,1.5]", "searching.alphas: [1.5] outside [0, 1]"),
        ("searching.alphas=[0,1]", "searching.alphas: [0.0, 1.0] are too few"),
        ("prompts.path=/no/such.jsonl", "/no/such.jsonl: no such file"),
        ("prompts.path=/dev/null", "/dev/null"),
        ("searching.metric=nothing", "nothing"),
        ("searching.refine=[0.5]", "searching.refine: [0.5]: 0.5 is no finer step"),
        ("searching.coefficient=density", "searching.coefficient=density: linear has alpha"),
        ("searching.stop=decided", "searching.stop"),
        ("prompts.tasks.a=/no/such.jsonl", "prompts.path and prompts.tasks are both given"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    tiny_pair: TinyPair,
    prompt_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: str,
    message: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["search.py", *settings(tiny_pair, prompt_file, tmp_path), *change.split()])
    with pytest.raises(SystemExit) as ended:
        search.main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert list(tmp_path.iterdir()) == []
