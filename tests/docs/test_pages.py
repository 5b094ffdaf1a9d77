"""The pages: generated ones are up to date, and they build as a site that asks nobody for anything."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from adamms.mapping.architecture import known_architectures
from tests.docs import settings_page
from tests.mapping import table_of_families
from tests.support import families

ROOT = Path(__file__).parents[2]


def test_the_settings_page_is_as_the_classes_are() -> None:
    assert settings_page.FILE.read_text(encoding="utf-8") == settings_page.page(), (
        "python -m tests.docs.settings_page writes it anew"
    )


def test_the_families_page_is_as_the_files_and_transformers_are() -> None:
    """What became of each family takes minutes to see: tests/mapping/test_all_families.py."""
    text, again = table_of_families.FILE.read_text(encoding="utf-8"), "python -m tests.mapping.table_of_families"
    assert text.startswith(table_of_families.introduction()), f"another transformers: {again} writes it anew"
    assert table_of_families.described() in text, f"{again} writes it anew"
    listed = re.findall(r"^\| (\S+) \| (?:whole|refused|not built) \|", text, re.MULTILINE)
    assert listed == [kind for group in families.GROUPS.values() for kind in group]
    assert f"[{len(known_architectures())} families](docs/families.md)" in (ROOT / "README.md").read_text("utf-8")


def test_the_tutorial_was_executed_without_an_error() -> None:
    cells = json.loads((ROOT / "docs" / "tutorial.ipynb").read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) >= 4
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert outputs
    assert not [output for output in outputs if output["output_type"] == "error"]


@pytest.mark.slow
def test_the_site_builds_and_asks_for_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"DISABLE_MKDOCS_2_WARNING": "true"}, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    pages = sorted((tmp_path / "site").rglob("*.html"))
    assert {page.name for page in pages} >= {"evidence.html", "cluster.html", "criteria.html"}
    loaded = re.compile(r'<(?:script|img|link)[^>]+(?:src|href)="(https?:[^"]+)"')
    foreign = {
        (page.name, address)
        for page in pages
        for address in loaded.findall(page.read_text(encoding="utf-8"))
        if "canonical" not in address
    }
    assert foreign == set()
    dead = {
        (page.name, link)
        for page in pages
        for link in re.findall(r'<a[^>]* href="([^":#?]+)["#?]', page.read_text(encoding="utf-8"))
        if page.name != "404.html" and not (page.parent / link).exists()
    }
    assert dead == set()
