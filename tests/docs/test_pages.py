"""The pages: generated ones are up to date, and they build as a site that asks nobody for anything."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs import settings_page

ROOT = Path(__file__).parents[2]


def test_the_settings_page_is_as_the_classes_are() -> None:
    assert settings_page.FILE.read_text(encoding="utf-8") == settings_page.page(), (
        "python -m tests.docs.settings_page writes it anew"
    )


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
    pages = sorted((tmp_path / "site").glob("*.html"))
    assert len(pages) >= 8
    loaded = re.compile(r'<(?:script|img|link)[^>]+(?:src|href)="(https?:[^"]+)"')
    foreign = {
        (page.name, address)
        for page in pages
        for address in loaded.findall(page.read_text(encoding="utf-8"))
        if "canonical" not in address
    }
    assert foreign == set()
