"""Responses made by anybody are read, and what is wrong with a file is said with its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adamms.errors import UserError
from adamms.runs.responses import read_responses
from adamms.runs.values import format_value, normalize_value


def write(path: Path, *rows: dict[str, Any], tail: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + tail, encoding="utf-8")
    return path


def row(alpha: Any, prompt_id: Any, response: Any, **more: Any) -> dict[str, Any]:
    return {"alpha": alpha, "prompt_id": prompt_id, "response": response, **more}


def test_reads_a_file(tmp_path: Path) -> None:
    file = write(tmp_path / "r.jsonl", row(0.1 + 0.2, "p", "étoile", label="x"), row(0, 7, "b"), row("0.3", "q", "c"))
    assert read_responses(file) == {0.3: {"p": "étoile", "q": "c"}, 0.0: {"7": "b"}}


def test_reads_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", row(0.1, "p", "a"), row(0.1, "q", "b"))
    write(tmp_path / "deeper" / "b.jsonl", row(0.2, "p", "a"), row(0.1, "p", "a"))
    assert read_responses(tmp_path) == {0.1: {"p": "a", "q": "b"}, 0.2: {"p": "a"}}


def test_alphas_are_one_when_they_print_alike() -> None:
    assert normalize_value(0.1 + 0.2) == normalize_value(0.3)
    assert [format_value(a) for a in (0, -0.0, 0.1, 0.30000000000000004, 1, 0.05, 1e-6)] == [
        *("0.0", "0.0", "0.1", "0.3", "1.0", "0.05", "0.000001")
    ]


@pytest.mark.parametrize("tail", ['{"alpha": 0.1, "prompt_id": "q", "resp', '{"alpha": 0.1', "\0\0\0"])
def test_a_torn_last_line_is_ignored(tmp_path: Path, tail: str) -> None:
    assert read_responses(write(tmp_path / "r.jsonl", row(0.1, "p", "a"), tail=tail)) == {0.1: {"p": "a"}}


def test_a_last_line_without_newline_counts(tmp_path: Path) -> None:
    file = write(tmp_path / "r.jsonl", tail=json.dumps(row(0.1, "p", "a")))
    assert read_responses(file) == {0.1: {"p": "a"}}


def test_all_bad_lines_are_reported_at_once(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    lines = ['{"torn', "[1]", '{"prompt_id": "p"}', json.dumps(row(True, 1.5, None)), json.dumps(row("NaN", "p", "a"))]
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError) as raised:
        read_responses(file)
    for number in range(1, 6):
        assert f"{file}:{number}: " in str(raised.value)
    assert "alpha is missing, response is missing" in str(raised.value)


def test_many_bad_lines_stay_one_readable_line(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    file.write_text("x\n" * 1000)
    with pytest.raises(UserError, match="and 995 more") as raised:
        read_responses(file)
    assert len(str(raised.value)) < 2000
    assert "\n" not in str(raised.value)


def test_a_contradiction_names_both_lines(tmp_path: Path) -> None:
    file = write(tmp_path / "r.jsonl", row(0.3, "p", "a"), row(0.1 + 0.2, "p", "b"))
    with pytest.raises(UserError, match=r"r\.jsonl:2: alpha 0\.3, prompt_id 'p' .*r\.jsonl:1"):
        read_responses(file)


def test_of_one_key_the_first_counts(tmp_path: Path) -> None:
    file = write(tmp_path / "r.jsonl", row(0.3, "p", "a", key="ff"), row(0.3, "p", "b", key="ff"))
    assert read_responses(file) == {0.3: {"p": "a"}}


@pytest.mark.parametrize("make", ["nothing", "empty folder", "empty file"])
def test_nothing_to_read(tmp_path: Path, make: str) -> None:
    path = tmp_path / "r"
    if make == "empty folder":
        path.mkdir()
    if make == "empty file":
        path.touch()
    with pytest.raises(UserError, match=str(path)):
        read_responses(path)
