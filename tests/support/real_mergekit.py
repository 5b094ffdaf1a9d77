"""mergekit itself, in an environment of its own: it must not share ours, since it pins what it uses."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

VERSION = "0.1.5"
PACKAGES = [f"mergekit=={VERSION}", "immutables==0.21"]
"""What is installed; torch, transformers and the rest, large as they are, it finds in the environment of the tests."""
HOME = Path.home() / ".cache" / "adamms-bench" / f"mergekit-{VERSION}"


def mergekit_yaml() -> Path:
    """Its command, installed when it is not there yet (a package registry has to answer then)."""
    command = HOME / "bin" / "mergekit-yaml"
    if not command.exists():
        uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(HOME)], check=True)
        python = str(HOME / "bin" / "python")
        subprocess.run([uv, "pip", "install", "--quiet", "--no-deps", "--python", python, *PACKAGES], check=True)
        ours = sysconfig.get_paths()["purelib"]
        (site,) = HOME.glob("lib/python*/site-packages")
        (site / "tests-environment.pth").write_text(f"{ours}\n", encoding="utf-8")
    return command


def run_mergekit(recipe: Path, output: Path) -> None:
    """Merges as a recipe says.

    Raises:
        AssertionError: with what mergekit said, where it refuses the recipe or fails.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(mergekit_yaml()), str(recipe), str(output), "--no-copy-tokenizer", "--quiet"]
    done = subprocess.run(command, env=environment | {"HF_HUB_OFFLINE": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
