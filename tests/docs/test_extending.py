"""`docs/extending.md`, executed on a copy of the package: what it says is all there is to do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import checkpoints as c
from tests.support.tiny_models import TinyPair

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
SECTIONS = ["A merge method", "A criterion", "A family of models", "An engine", "A figure"]
MOST_FILES = 3


@dataclass(frozen=True)
class Section:
    """One extension: files to write, files to change (old lines, new lines), and what to try."""

    files: dict[str, str]
    changes: dict[str, list[tuple[str, str]]]
    trial: str


def section(title: str) -> Section:
    text = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)
    found = Section({}, {}, next(body for kind, body in blocks if body.startswith("# try it")))
    for kind, body in blocks:
        first, _, rest = body.partition("\n")
        if kind == "diff":
            hunks = re.findall(r"((?:^-.*\n)+)((?:^\+.*\n)+)", rest, re.MULTILINE)
            pairs = [(_without_sign(old), _without_sign(new)) for old, new in hunks]
            found.changes[first.removeprefix("--- ")] = pairs
        elif not body.startswith("# try it"):
            found.files[first.removeprefix("# ")] = rest
    return found


def _without_sign(lines: str) -> str:
    return "".join(line[1:] for line in lines.splitlines(keepends=True))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with all five extensions made."""
    folder = tmp_path_factory.mktemp("extended")
    shutil.copytree(ROOT / "adamms", folder / "adamms", ignore=shutil.ignore_patterns("__pycache__"))
    for title in SECTIONS:
        one = section(title)
        for path, text in one.files.items():
            (folder / path).write_text(text, encoding="utf-8")
        for path, pairs in one.changes.items():
            before = (folder / path).read_text(encoding="utf-8")
            for old, new in pairs:
                assert before.count(old) == 1, f"{path} has no line {old!r}"
                before = before.replace(old, new)
            (folder / path).write_text(before, encoding="utf-8")
    return folder


def kiwi(folder: Path) -> Path:
    """A checkpoint of the family that the page describes."""
    weights = c.tuned(c.language_model(), 1)
    named = {name.replace("model.", "brain.", 1): w for name, w in c.llama_names()(weights, c.GQA).items()}
    head = {"mouth.weight": named.pop("lm_head.weight")}
    config = {**c.GQA.config, "model_type": "kiwi_vl"}
    return c.write_checkpoint(folder, {**named, **head, **c.outside("eyes.0.weight")}, config, c.words(37))


def qwen(folder: Path) -> Path:
    """A donor from the same language model."""
    weights = c.tuned(c.language_model(), 2)
    return c.write_checkpoint(
        folder, c.llama_names()(weights, c.GQA), {**c.GQA.config, "model_type": "qwen2"}, c.words(37)
    )


@pytest.mark.parametrize("title", SECTIONS)
def test_an_extension_touches_few_files(title: str) -> None:
    one = section(title)
    assert len(one.files.keys() | one.changes.keys()) <= MOST_FILES
    assert one.files


@pytest.mark.parametrize(
    ("title", "printed"),
    [
        ("A merge method", "sharpened"),
        ("A criterion", "0.2"),  # 0.1 is 2/3 + 1/3 away from its neighbours, 0.2 is 1/3 + 1/4, 0.3 is 1/4 + 3/4
        ("A family of models", "kiwi-vl 21 tensors merge"),
        ("An engine", "0.2 {0.0: None, 0.2: 0.0, 0.4: 12.0, 0.6: None}"),
        ("A figure", "True"),
    ],
)
def test_the_example_does_what_the_page_says(
    title: str, printed: str, package: Path, tiny_pair: TinyPair, tmp_path: Path
) -> None:
    models = {"base": tiny_pair.base, "donor": tiny_pair.donor}
    if title == "A family of models":
        models = {"kiwi": kiwi(tmp_path / "kiwi"), "donor": qwen(tmp_path / "qwen")}
    given = "".join(f"{name} = {str(path)!r}\n" for name, path in models.items())
    environment = {**os.environ, "PYTHONPATH": str(package)}
    environment.pop("RAY_ADDRESS", None)
    done = subprocess.run(
        [sys.executable, "-c", given + section(title).trial],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == printed


def test_what_is_added_has_the_rooms_manners(package: Path) -> None:
    """Types and imports of the examples are those of the package."""
    files = [str(package / path) for title in SECTIONS for path in section(title).files if path.endswith(".py")]
    ruff = [sys.executable, "-m", "ruff", "check", "--config", str(ROOT / "pyproject.toml"), *files]
    done = subprocess.run(ruff, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
