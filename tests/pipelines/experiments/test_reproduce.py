"""The README's table and the comparison of criteria, on the shipped pair with few prompts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAIR = ROOT / "adamms" / "demo" / "pair"
TASKS = ["row-french", "position-plain"]
ALPHAS = "searching.alphas=[0,0.2,0.4,0.6]"
pytestmark = pytest.mark.slow


def run(script: str, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", f"pipelines.experiments.{script}", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair that need not be trained, with a few unlabelled prompts."""
    folder = tmp_path_factory.mktemp("reproduce")
    pair = folder / "complementary-1"
    shutil.copytree(PAIR, pair)
    run("tiny_pair", "--output", str(pair), "--seed", "1", "--labelled")
    for task in TASKS:
        file = pair / "prompts" / f"{task}.jsonl"
        file.write_text("".join(file.read_text().splitlines(keepends=True)[:12]))
    return folder


def settings(folder: Path, config: str) -> list[str]:
    return ["--config", f"conf/{config}.yaml", f"folder={folder}", f"tasks=[{','.join(TASKS)}]", "labelled=10", ALPHAS]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def test_every_choice_stands_beside_labels_confidence_and_noise(folder: Path) -> None:
    run("reproduce", *settings(folder, "reproduce"), "seeds=[1]", "baselines=[ties]")
    lines = (folder / "table.md").read_text().splitlines()
    header, rows = cells(lines[0]), [dict(zip(cells(lines[0]), cells(line), strict=True)) for line in lines[2:4]]
    assert header[-2:] == ["confidence", "noise"]
    for task, row in zip(TASKS, rows, strict=True):
        assert (row["seed"], row["task"], row["noise"]) == ("1", task, "0 of 12")
        accuracies = {alpha: float(row[alpha].strip("*")) for alpha in ("0.0", "0.2", "0.4", "0.6")}
        assert row[row["chosen"]].startswith("**")
        assert float(row["regret"]) == pytest.approx(max(accuracies.values()) - accuracies[row["chosen"]])
        assert accuracies[row["oracle"]] == max(accuracies.values())
        assert 0 < float(row["confidence"].removesuffix(" %")) <= 100
    assert any(line.startswith("| ties |") for line in lines)


def test_criteria_are_compared_on_the_same_answers(folder: Path) -> None:
    own = ["pairs=[complementary-1]", "mixtures=3", "few=[2]", "spare=4", "draws=2", "methods={ties: [0.3,0.5,0.7]}"]
    criteria = "criteria=[either,logprob+donor,logprob+parents]"
    shown = run("criteria", *settings(folder, "criteria"), *own, criteria)
    text = (folder / "results" / "criteria.md").read_text()
    assert text.strip() in shown
    found = {cells(line)[0]: cells(line) for line in text.split("\n\n")[1].splitlines()[2:]}
    assert {"either", "logprob+parents", "always 0.2", "2 labels alone", "2 labels, then either"} < found.keys()
    narrow = {way: float(row[2].split()[0]) for way, row in found.items()}
    inner = narrow["(best by labels that is no end point)"]
    assert inner <= min(narrow[name] for name in ("either", "logprob+donor", "always 0.2", "always 0.4"))
    rows = json.loads((folder / "results" / "complementary-1.json").read_text())
    for row in rows:
        assert row["methods"]["best"] >= row["methods"]["linear_best"] == max(row["accuracy"].values())
        assert row["methods"]["chosen"] <= row["methods"]["best"]
    assert "| complementary-1 |" in text.split("\n\n")[4]
    assert [row["mixed"] for row in rows] == [False] * 2 + [True] * 3
