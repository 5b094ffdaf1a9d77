"""The lines that a card and a report show are run as they stand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adamms.demo import DEFAULT_TASK, PAIR
from adamms.merging.usage import loading_code
from pipelines.experiments.tiny.drawing import from_data_uri


def test_a_model_that_sees_is_loaded_and_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = (PAIR / "prompts" / f"{DEFAULT_TASK}.jsonl").read_text(encoding="utf-8").splitlines()[0]
    from_data_uri(json.loads(first)["images"][0]).convert("RGB").save(tmp_path / "picture.jpg")
    monkeypatch.chdir(tmp_path)
    exec(loading_code(str(PAIR / "base"), images=True), {})
    assert capsys.readouterr().out.strip()


def test_a_language_model_is_asked_without_a_picture() -> None:
    code = loading_code("OWNER/NAME", images=False, remote_code=True)
    assert 'AutoModelForCausalLM.from_pretrained(place, dtype="auto", trust_remote_code=True)' in code
    assert 'place = "OWNER/NAME"' in code
    assert "picture" not in code
