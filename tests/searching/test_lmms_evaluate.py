from __future__ import annotations

import sys
from pathlib import Path

import pytest

from adamms.config import LmmsEvalConfig
from adamms.errors import UserError
from adamms.searching import lmms_evaluate
from adamms.searching.lmms_evaluate import check_lmms_eval, lmms_command, run_lmms_eval


def test_the_command_names_checkpoint_tasks_and_output() -> None:
    config = LmmsEvalConfig(
        tasks=("mmmu_val", "ocrbench"), model_args=("tensor_parallel_size=4",), options=("--limit=9",)
    )
    command = " ".join(lmms_command(config, Path("/run/merged"), Path("/run/lmms-eval")))
    assert command == (
        f"{sys.executable} -m lmms_eval --model vllm --model_args model=/run/merged,tensor_parallel_size=4 "
        "--tasks mmmu_val,ocrbench --batch_size 1 --log_samples --output_path /run/lmms-eval --limit=9"
    )
    plain = lmms_command(LmmsEvalConfig(tasks=("gqa",), model="qwen2_vl"), Path("m"), Path("o"))
    assert "pretrained=m" in plain


def test_where_it_is_not_installed_that_is_said_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_lmms_eval(LmmsEvalConfig(), tmp_path)
    monkeypatch.setattr(lmms_evaluate.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="lmms-eval is not installed here"):
        check_lmms_eval(LmmsEvalConfig(tasks=("gqa",)), tmp_path)
    monkeypatch.setattr(lmms_evaluate.importlib.util, "find_spec", lambda name: True)
    with pytest.raises(UserError, match="no checkpoint there"):
        check_lmms_eval(LmmsEvalConfig(tasks=("gqa",)), tmp_path)


def test_its_failure_is_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lmms_evaluate, "lmms_command", lambda *_: [sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(UserError, match="ended with status 3"):
        run_lmms_eval(LmmsEvalConfig(tasks=("gqa",)), tmp_path, tmp_path)
