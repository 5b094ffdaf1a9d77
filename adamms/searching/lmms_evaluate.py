"""lmms-eval as an evaluator of finished checkpoints: AdaMMS only builds its command line and runs it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

from adamms.config import LmmsEvalConfig
from adamms.errors import UserError


def lmms_command(config: LmmsEvalConfig, checkpoint: Path, output: Path) -> list[str]:
    """`python -m lmms_eval ...` for one checkpoint; its samples can be read by `adamms select`, too."""
    named = "model" if config.model == "vllm" else "pretrained"
    arguments = ",".join([f"{named}={checkpoint}", *config.model_args])
    return [
        *(sys.executable, "-m", "lmms_eval"),
        *("--model", config.model, "--model_args", arguments),
        *("--tasks", ",".join(config.tasks), "--batch_size", str(config.batch_size)),
        *("--log_samples", "--output_path", str(output)),
        *config.options,
    ]


def check_lmms_eval(config: LmmsEvalConfig, checkpoint: Path) -> None:
    """Raise UserError where lmms-eval could not run, before anything else does."""
    if not config.tasks:
        return
    if importlib.util.find_spec("lmms_eval") is None:
        raise UserError(
            "lmms_eval.tasks: lmms-eval is not installed here; `pip install lmms-eval`, or leave lmms_eval.tasks empty"
        )
    if not (checkpoint / "config.json").is_file():
        raise UserError(f"{checkpoint}: no checkpoint there; run pipelines/search.py with the same settings first")


def run_lmms_eval(config: LmmsEvalConfig, checkpoint: Path, output: Path) -> None:
    """Evaluates a checkpoint; lmms-eval prints its own table.

    Raises:
        UserError: it ended with an error; what it said stands above.
    """
    command = lmms_command(config, checkpoint, output)
    status = subprocess.run(command, check=False).returncode
    if status != 0:
        raise UserError(f"lmms-eval ended with status {status}: {' '.join(command)}")
