"""lmms-eval as an evaluator of finished checkpoints: AdaMMS builds its command line, runs it and reads its figures."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from adamms.errors import UserError

_RESULTS = "*_results.json"


@dataclass(frozen=True)
class LmmsEvalConfig:
    tasks: tuple[str, ...] = ()
    """lmms-eval's tasks for the winner, such as mmmu_val, ocrbench; none: it is not run."""
    python: str = ""
    """The Python it is installed for; empty: this one. An environment of its own spares conflicts with vLLM's needs."""
    model: str = "vllm"
    """Its name of the model class: vllm, qwen2_vl, llava_onevision, ..."""
    model_args: tuple[str, ...] = ()
    """Further arguments of the model class, such as tensor_parallel_size=4."""
    batch_size: int = 1
    """How many prompts lmms-eval asks at once."""
    options: tuple[str, ...] = ()
    """Further options of its command line, such as --limit=100 or --include_path=DIR with tasks of your own."""


def lmms_command(config: LmmsEvalConfig, checkpoint: Path, output: Path) -> list[str]:
    """`python -m lmms_eval ...` for one checkpoint; its samples can be read by `adamms select`, too."""
    arguments = [f"{'model' if config.model == 'vllm' else 'pretrained'}={checkpoint}", *config.model_args]
    if config.model == "vllm" and not any(argument.startswith("trust_remote_code=") for argument in arguments):
        arguments.append("trust_remote_code=False")  # lmms-eval's own default is True
    return [
        *(config.python or sys.executable, "-m", "lmms_eval"),
        *("--model", config.model, "--model_args", ",".join(arguments)),
        *("--tasks", ",".join(config.tasks), "--batch_size", str(config.batch_size)),
        *("--log_samples", "--output_path", str(output)),
        *config.options,
    ]


def check_lmms_eval(config: LmmsEvalConfig, checkpoint: Path) -> None:
    """Raise UserError where lmms-eval could not run, before anything else does."""
    if not config.tasks:
        return
    python = config.python or sys.executable
    if shutil.which(python) is None:
        raise UserError(f"lmms_eval.python={python}: no such program; give the python of the environment it is in")
    probe = "import sys, importlib.util; sys.exit(importlib.util.find_spec('lmms_eval') is None)"
    if subprocess.run([python, "-c", probe], check=False).returncode != 0:
        raise UserError(
            f"lmms_eval.tasks: lmms-eval is not installed for {python}; `pip install lmms-eval` into an environment of "
            "its own and name its python in lmms_eval.python, or leave lmms_eval.tasks empty"
        )
    if tasks := sorted(file.parent.name for file in checkpoint.glob("*/config.json")):
        raise UserError(
            f"{checkpoint}: has a checkpoint for each task ({', '.join(tasks)}), expected one for all, which lmms-eval "
            "evaluates; search with searching.export=one"
        )
    if not (checkpoint / "config.json").is_file():
        raise UserError(f"{checkpoint}: no checkpoint there; run pipelines/search.py with the same settings first")


def run_lmms_eval(config: LmmsEvalConfig, checkpoint: Path, output: Path) -> dict[str, float]:
    """Evaluates a checkpoint; lmms-eval prints its own table.

    Returns:
        Its figures: `task/metric`, and `task/metric/filter` where a filter was applied; no standard errors.

    Raises:
        UserError: it ended with an error, or left no figures; what it said stands above.
    """
    command = lmms_command(config, checkpoint, output)
    before = set(output.rglob(_RESULTS))
    status = subprocess.run(command, check=False).returncode
    if status != 0:
        raise UserError(f"lmms-eval ended with status {status}: {' '.join(command)}")
    found = {name: value for file in sorted(set(output.rglob(_RESULTS)) - before) for name, value in _figures(file)}
    if not found:
        raise UserError(f"lmms-eval left no figures in {output}: {' '.join(command)}")
    return found


def _figures(file: Path) -> Iterator[tuple[str, float]]:
    """Entries such as `"ocrbench": {"alias": ..., "ocrbench_accuracy,none": 0.31}`.

    Tasks that are judged elsewhere leave files of their own there, such as `submissions/mmbench_en_dev_results.json`.
    """
    content = json.loads(file.read_text(encoding="utf-8"))
    results = content.get("results") if isinstance(content, dict) and "configs" in content else None
    for task, entries in (results or {}).items():
        for name, value in entries.items():
            metric, _, flavour = name.partition(",")
            if isinstance(value, int | float) and "_stderr" not in metric:
                yield "/".join([task, metric, *([flavour] if flavour not in ("", "none") else [])]), float(value)
