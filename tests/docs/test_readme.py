"""The README from top to bottom: every command of it, in an empty folder, with the package as its wheel installs it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hub_stand_in import hub_stand_in

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NEEDS_A_CLONE = ("git clone", "make ", "ray job submit", "adamms sweep", "pip ")
"""How commands begin that only a clone or a cluster has; tests/cluster and CI run those."""
NEEDS_A_SERVER = ("adamms serve",)
"""tests/commands/test_serve.py."""


def commands() -> list[str]:
    """The lines of the README's plain code blocks that are commands, without comments."""
    blocks = re.findall(r"^```\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    first = ("adamms ", *NEEDS_A_CLONE)
    found = [line for line in lines if line.startswith(first)]
    inline = re.findall(r"`(adamms [a-z]+ [^`]+)`", README)
    return [*found, *(" ".join(line.split()) for line in inline)]


def test_every_command_is_one_that_exists() -> None:
    from adamms.cli import app

    known = {(one.name or getattr(one.callback, "__name__", "")) for one in app.registered_commands}
    for line in commands():
        if line.startswith("adamms "):
            assert line.split()[1] in known, line


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel holds; dependencies are this environment's."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("adamms", "pyproject.toml", "README.md", "LICENSE"):
        place = ROOT / name
        (shutil.copytree if place.is_dir() else shutil.copy2)(place, _made(source) / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(source)], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder / "site")
    return folder / "site"


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def runnable() -> Iterator[str]:
    for line in commands():
        if (
            not line.startswith((*NEEDS_A_CLONE, *NEEDS_A_SERVER))
            and "conf/pairs" not in line
            and "RUN_DIR" not in line
        ):
            yield line


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_command_does_what_it_says(installed: Path, tmp_path: Path) -> None:
    pair = installed / "adamms" / "demo" / "pair"
    prompts = (pair / "prompts" / "row-french.jsonl").read_text(encoding="utf-8").splitlines()[:6]
    (tmp_path / "prompts.jsonl").write_text("\n".join(prompts) + "\n", encoding="utf-8")
    labelled = [line.replace('"prompt":', '"answer": "rond", "prompt":', 1) for line in prompts]
    (tmp_path / "labelled.jsonl").write_text("\n".join(labelled) + "\n", encoding="utf-8")
    recipe = f"merge_method: linear\nmodels:\n  - model: {pair / 'base'}\n    parameters: {{weight: 0.7}}\n"
    recipe += f"  - model: {pair / 'donor'}\n    parameters: {{weight: 0.3}}\n"
    (tmp_path / "recipe.yml").write_text(recipe, encoding="utf-8")
    tool = tmp_path / "adamms"
    tool.write_text(f'#!/bin/sh\nexec {sys.executable} -m adamms "$@"\n')
    tool.chmod(0o755)
    with hub_stand_in() as hub:
        own = {"PYTHONPATH": str(installed), "PATH": f"{tmp_path}:{os.environ['PATH']}", "HF_ENDPOINT": hub.address}
        own |= {"HF_TOKEN": hub.token, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
        for number, line in enumerate(runnable()):
            known = {"BASE A B": "BASE DONOR ANCESTOR", "OWNER/NAME": "me/merged"}
            known |= {name.upper(): str(pair / name) for name in ("base", "donor", "ancestor")}
            known |= {"--output DIR": f"--output out-{number}", "FILE": "recipe.yml", "[--": "--", "]": ""}
            command = line
            for word, meant in known.items():
                command = command.replace(word, meant)
            done = subprocess.run(
                command, shell=True, cwd=tmp_path, env=os.environ | own, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{command}\n{done.stderr[-3000:]}"
        assert hub.repositories == {"me/merged": True}
    assert (tmp_path / "runs" / "first" / "merged" / "config.json").is_file()
    assert (tmp_path / "runs" / "demo" / "report.html").is_file()
