"""lmms-eval itself, in an environment of its own, over checkpoints that AdaMMS merged."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import mean

import mlflow
import pytest

from adamms.judging.lmms_eval import LmmsEvalConfig, run_lmms_eval
from tests.support.shipped_pair import ONE_TASK

ROOT = Path(__file__).parents[2]
PAIR = ROOT / "adamms" / "demo" / "pair"
HOME = Path.home() / ".cache" / "adamms-tests" / "lmms-eval"
TASK = f"""
task: tiny_row
dataset_path: json
dataset_kwargs: {{data_files: {{test: {PAIR / "prompts" / "row-french.jsonl"}}}}}
test_split: test
output_type: generate_until
doc_to_visual: !function tiny.pictures
doc_to_text: "{{{{prompt}}}}"
doc_to_target: ""
generation_kwargs: {{max_new_tokens: 16, do_sample: false, num_beams: 1}}
process_results: !function tiny.words
metric_list: [{{metric: words, aggregation: mean, higher_is_better: true}}]
"""
FUNCTIONS = """
import base64, io
from PIL import Image

def pictures(doc):
    return [Image.open(io.BytesIO(base64.b64decode(one.partition(",")[2]))).convert("RGB") for one in doc["images"]]

def words(doc, results):
    return {"words": float(len(results[0].split()))}
"""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lmms_eval(tmp_path_factory: pytest.TempPathFactory) -> LmmsEvalConfig:
    """Settings with a task of our own: there is no hub here."""
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    python = HOME / "bin" / "python"
    if not (HOME / ".ready").exists():
        subprocess.run([uv, "venv", "--clear", "--python", sys.executable, str(HOME)], check=True)
        packages = ["lmms-eval==0.7.3", "decord"]
        install = [uv, "pip", "install", "--python", str(python), *packages]
        subprocess.run(install, check=True)
        (HOME / ".ready").touch()
    folder = tmp_path_factory.mktemp("lmms")
    (folder / "tiny_row.yaml").write_text(TASK)
    (folder / "tiny.py").write_text(FUNCTIONS)
    return LmmsEvalConfig(
        tasks=("tiny_row",),
        python=str(python),
        model="qwen2_vl",
        model_args=("device=cpu", "device_map=cpu"),
        options=(f"--include_path={folder}", "--limit=6"),
    )


def adamms(*arguments: str) -> str:
    command = [sys.executable, "-m", "adamms.cli", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_select_chooses_from_answers_that_lmms_eval_logged(lmms_eval: LmmsEvalConfig, tmp_path: Path) -> None:
    alphas = [0.1, 0.3, 0.6]
    for alpha in alphas:
        merged, output = tmp_path / f"merged-{alpha}", tmp_path / "samples" / f"alpha_{alpha}"
        adamms("merge", str(PAIR / "base"), str(PAIR / "donor"), "--alpha", str(alpha), "--output", str(merged))
        figures = run_lmms_eval(lmms_eval, merged, output)
        assert figures == {"tiny_row/words": mean(len(answer.split()) for answer in answers(output))}
    found = json.loads(adamms("select", str(tmp_path / "samples"), "--json"))
    assert found["alpha"] == 0.3
    low, middle, high = (answers(tmp_path / "samples" / f"alpha_{alpha}") for alpha in alphas)
    assert found["scores"]["0.3"] == sum(b != a or b != c for a, b, c in zip(low, middle, high, strict=True))


def answers(output: Path) -> list[str]:
    """By document."""
    (file,) = output.rglob("*_samples_*.jsonl")
    rows = sorted(map(json.loads, file.read_text().splitlines()), key=lambda row: row["doc_id"])
    assert len(rows) == 6
    return [row["filtered_resps"] for row in rows]


def test_the_winner_is_evaluated_without_labels(lmms_eval: LmmsEvalConfig, tmp_path: Path) -> None:
    own = [*ONE_TASK, f"run_dir={tmp_path / 'run'}", "prompts.n=4", "searching.alphas=[0,0.3,0.6]"]
    own += [f"tracking.uri=sqlite:///{tmp_path}/mlflow.db", "tracking.system_metrics=false", "searching.noise=0"]
    for pipeline, more in (("search", []), ("evaluate", arguments(lmms_eval))):
        command = [sys.executable, f"pipelines/{pipeline}.py", *own, *more]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("demo").experiment_id], "tags.`adamms.kind` = 'search'")
    (run,) = runs
    assert run.data.metrics["lmms_eval/tiny_row/words"] == mean(
        len(answer.split()) for answer in answers(tmp_path / "run" / "lmms-eval")
    )
    assert run.info.status == "FINISHED"
    assert not (tmp_path / "run" / "evaluation.json").exists()


def arguments(config: LmmsEvalConfig) -> list[str]:
    return [
        "lmms_eval.tasks=[tiny_row]",
        f"lmms_eval.python={config.python}",
        f"lmms_eval.model={config.model}",
        f"lmms_eval.model_args=[{','.join(config.model_args)}]",
        f"lmms_eval.options=[{','.join(config.options)}]",
    ]
