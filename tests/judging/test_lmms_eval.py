from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from adamms.errors import UserError
from adamms.judging import lmms_eval as lmms_evaluate
from adamms.judging.lmms_eval import LmmsEvalConfig, check_lmms_eval, lmms_command, run_lmms_eval


def test_the_command_names_checkpoint_tasks_and_output() -> None:
    config = LmmsEvalConfig(
        tasks=("mmmu_val", "ocrbench"), model_args=("tensor_parallel_size=4",), options=("--limit=9",)
    )
    command = " ".join(lmms_command(config, Path("/run/merged"), Path("/run/lmms-eval")))
    assert command == (
        f"{sys.executable} -m lmms_eval --model vllm "
        "--model_args model=/run/merged,tensor_parallel_size=4,trust_remote_code=False "
        "--tasks mmmu_val,ocrbench --batch_size 1 --log_samples --output_path /run/lmms-eval --limit=9"
    )
    plain = lmms_command(LmmsEvalConfig(tasks=("gqa",), model="qwen2_vl"), Path("m"), Path("o"))
    assert "pretrained=m" in plain


def test_remote_code_runs_only_if_asked_for() -> None:
    config = LmmsEvalConfig(tasks=("gqa",))
    assert "model=m,trust_remote_code=False" in lmms_command(config, Path("m"), Path("o"))
    config = LmmsEvalConfig(tasks=("gqa",), model_args=("trust_remote_code=True",))
    assert "model=m,trust_remote_code=True" in lmms_command(config, Path("m"), Path("o"))


def test_where_it_is_not_installed_that_is_said_first(tmp_path: Path) -> None:
    """It is not, in this environment: it needs one of its own."""
    check_lmms_eval(LmmsEvalConfig(), tmp_path)
    with pytest.raises(UserError, match=r"lmms-eval is not installed for .*python"):
        check_lmms_eval(LmmsEvalConfig(tasks=("gqa",)), tmp_path)
    with pytest.raises(UserError, match=r"lmms_eval\.python=/no/python: no such program"):
        check_lmms_eval(LmmsEvalConfig(tasks=("gqa",), python="/no/python"), tmp_path)


def test_checkpoints_of_each_task_are_not_taken_for_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lmms_evaluate.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=0))
    config = LmmsEvalConfig(tasks=("gqa",))
    with pytest.raises(UserError, match="no checkpoint there; run"):
        check_lmms_eval(config, tmp_path)
    for task in ("ocr", "vqa"):
        (tmp_path / task).mkdir()
        (tmp_path / task / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"has a checkpoint for each task \(ocr, vqa\).*searching.export=one"):
        check_lmms_eval(config, tmp_path)


def test_its_failure_is_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for code, message in (("raise SystemExit(3)", "ended with status 3"), ("pass", "left no figures")):
        monkeypatch.setattr(lmms_evaluate, "lmms_command", lambda *_, code=code: [sys.executable, "-c", code])
        with pytest.raises(UserError, match=message):
            run_lmms_eval(LmmsEvalConfig(tasks=("gqa",)), tmp_path, tmp_path)


def test_figures_are_those_of_this_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files as lmms-eval 0.7.3 writes them (tests/pipelines/test_lmms_eval.py runs it)."""
    (tmp_path / "older").mkdir()
    (tmp_path / "older" / "1_results.json").write_text('{"results": {"gqa": {"exact_match,none": 0.9}}}')
    results = {
        "gqa": {"alias": "gqa", "exact_match,none": 0.5, "exact_match_stderr,none": "N/A"},
        "mmmu": {"acc,strict": 1, "acc_stderr,strict": 0.25, " ": " "},
    }
    file, submission = tmp_path / "older" / "2_results.json", tmp_path / "mmbench_en_dev_results.json"
    write = (
        f"import json; json.dump({{'results': {results}, 'configs': {{}}}}, open({str(file)!r}, 'w')); "
        f"json.dump([{{'results': 'A'}}], open({str(submission)!r}, 'w'))"
    )
    monkeypatch.setattr(lmms_evaluate, "lmms_command", lambda *_: [sys.executable, "-c", write])
    found = run_lmms_eval(LmmsEvalConfig(tasks=("gqa", "mmmu")), tmp_path, tmp_path)
    assert found == {"gqa/exact_match": 0.5, "mmmu/acc/strict": 1.0}
