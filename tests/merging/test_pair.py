"""`adamms merge` as a user meets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.merging.conftest import Models
from tests.support.tiny_models import TinyPair

ROOT = Path(__file__).parents[2]


def adamms(*arguments, **environment):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", **environment}
    command = [sys.executable, "-m", "adamms.cli", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def merge(models, *arguments, **environment):
    return adamms("merge", models.base.folder, models.donor.folder, *arguments, **environment)


def told(ended: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines on stderr but those that say what takes long, on a busy machine."""
    return [line for line in ended.stderr.splitlines() if not line.endswith(" ...")]


def test_every_method_by_the_command(models: Models, tmp_path):
    ended = merge(
        models,
        *("--method", "ties", "--alpha", "0.4", "--ancestor", models.ancestor.folder, "--output", tmp_path / "out"),
        *("merging.options.density=0.3", "merging.options.trim_over=tensor", "merging.max_shard_size=20KB"),
    )
    assert (ended.returncode, ended.stdout) == (0, f"{tmp_path / 'out'}\n"), ended.stderr
    assert told(ended) == [models.plan().summary]
    recipe = json.loads((tmp_path / "out" / "adamms.json").read_text())["recipe"]
    assert recipe == {"method": "ties", "alpha": 0.4, "density": 0.3, "scale": 1.0, "trim_over": "tensor"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--alpha", "1.5"), "alpha=1.5: expected a number from 0 to 1"),
        (("--alpha", "nan"), "alpha=nan"),
        ((), "linear needs --alpha"),
        (("--alpha", "0.3", "--method", "ties"), "ties works on what fine-tuning added"),
        (("--alpha", "0.3", "--method", "mean"), "known are breadcrumbs"),
        (("--alpha", "0.3", "merging.options.density=0.3"), "linear has no coefficient density"),
        (("--alpha", "0.3", "merging.options.alpha=0.3"), "merging.options.alpha: linear has no coefficient alpha"),
        (("--alpha", "0.3", "merging.density=0.3"), "merging.density=0.3: is now called merging.options.density"),
        (("--alpha", "0.3", "merging.max_shard_size=big"), "expected a size such as 5GB"),
    ],
)
def test_what_the_user_can_mend(arguments, words, models, tmp_path):
    ended = merge(models, *arguments, "--output", tmp_path / "out")
    assert ended.returncode == 2
    assert words in ended.stderr
    assert len(told(ended)) == 1
    assert not list(tmp_path.iterdir())


def test_help_and_merge_import_no_more_than_they_need():
    shown = "sys.argv = ['adamms', 'merge', '--help']\ntry: main()\nexcept SystemExit: print(*sys.modules)"
    loaded = _modules(f"import sys\nfrom adamms.cli import main\n{shown}")
    assert not loaded & {"torch", "ray", "transformers", "mlflow", "numpy", "omegaconf", "vllm"}
    loaded = _modules("import sys, adamms.merging.to_disk\nprint(*sys.modules)")
    assert not loaded & {"ray", "transformers", "mlflow", "vllm", "torchvision"}


def _modules(code):
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(ended.stdout.split())


def test_smoke_asks_the_merged_model_about_a_picture(tiny_pair: TinyPair, tmp_path):
    ended = adamms("merge", tiny_pair.base, tiny_pair.donor, "--alpha", "0.3", "--output", tmp_path / "out", "--smoke")
    assert ended.returncode == 0, ended.stderr
    assert "smoke test, the merged model answers: '" in ended.stderr
    merged, base = (load_file(folder / "model.safetensors") for folder in (tmp_path / "out", tiny_pair.base))
    assert {n: (v.dtype, v.shape) for n, v in merged.items()} == {n: (v.dtype, v.shape) for n, v in base.items()}


def test_what_does_not_load_does_not_appear(models, tmp_path):
    """These weights have no full vision encoder."""
    ended = merge(models, "--alpha", "0.3", "--output", tmp_path / "out", "--smoke")
    assert ended.returncode == 1
    assert not list(tmp_path.iterdir())
