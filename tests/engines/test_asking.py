from __future__ import annotations

from pathlib import Path

import pytest

from adamms.engines.asking import asking_digest

FILES = {
    "chat_template.jinja": "{{ messages }}",
    "tokenizer.json": "{}",
    "tokenizer_config.json": "{}",
    "preprocessor_config.json": "{}",
    "processor_config.json": "{}",
    "video_preprocessor_config.json": "{}",
    "generation_config.json": "{}",
    "additional_chat_templates/tools.jinja": "{{ tools }}",
    "merges.txt": "a b",
    "spiece.model": "pieces",
    "tokenization_own.py": "class Tokenizer: ...",
}
OTHERS = ("model.safetensors", "README.md", "config.json", "model.safetensors.index.json")  # not how it is asked


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "additional_chat_templates").mkdir()
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    for name in OTHERS:
        (tmp_path / name).write_text("{}")
    return tmp_path


@pytest.mark.parametrize("name", FILES)
def test_whatever_shapes_what_is_asked_changes_the_digest(folder: Path, name: str) -> None:
    before = asking_digest(folder)
    (folder / name).write_text("changed")
    changed = asking_digest(folder)
    (folder / name).unlink()
    assert len({before, changed, asking_digest(folder)}) == 3
    (folder / name).write_text(FILES[name])
    assert asking_digest(folder) == before


@pytest.mark.parametrize("name", OTHERS)
def test_weights_and_words_about_them_do_not(folder: Path, name: str) -> None:
    before = asking_digest(folder)
    (folder / name).write_text("changed")
    assert asking_digest(folder) == before
