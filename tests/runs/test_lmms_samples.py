"""lmms-eval's logged samples are read; an alpha is never guessed from a name that only looks like one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adamms.errors import UserError
from adamms.runs.responses import read_responses

NAME = "20250101_000000_samples_mme.jsonl"


def log(folder: Path, *answers: object, name: str = NAME, **more: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"doc_id": i, "doc": {}, "target": "x", "filtered_resps": a, **more} for i, a in enumerate(answers)]
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("folder", ["alpha_0.3", "alpha-0.3", "0.3", "alpha_0.3/checkpoints__llava-v1.5"])
def test_alpha_from_the_folder(tmp_path: Path, folder: str) -> None:
    log(tmp_path / folder, "yes", ["no"], [["cat"]])
    assert read_responses(tmp_path) == {0.3: {"mme/0": "yes", "mme/1": "no", "mme/2": "cat"}}


def test_alpha_from_the_file(tmp_path: Path) -> None:
    log(tmp_path, "yes", name="alpha_0.3.jsonl")
    log(tmp_path, "no", name="alpha_0.4.jsonl")
    assert set(read_responses(tmp_path)) == {0.3, 0.4}


def test_alpha_from_a_sidecar(tmp_path: Path) -> None:
    log(tmp_path / "run-1" / "model", "yes")
    (tmp_path / "run-1" / "alpha.json").write_text('{"alpha": 0.25}')
    assert read_responses(tmp_path) == {0.25: {"mme/0": "yes"}}


def test_alpha_in_the_line(tmp_path: Path) -> None:
    log(tmp_path / "alpha_0.1", "yes", alpha=0.2)
    assert read_responses(tmp_path) == {0.2: {"mme/0": "yes"}}


@pytest.mark.parametrize("folder", ["llava-v1.5", "v1.5", "alpha_0.3_old", "alpha", "2", "1.5.1"])
def test_no_alpha_is_guessed(tmp_path: Path, folder: str) -> None:
    log(tmp_path / folder, "yes")
    with pytest.raises(UserError, match="which alpha"):
        read_responses(tmp_path)


def test_names_above_the_given_folder_say_nothing(tmp_path: Path) -> None:
    log(tmp_path / "alpha_0.3" / "mine", "yes")
    with pytest.raises(UserError, match="which alpha"):
        read_responses(tmp_path / "alpha_0.3" / "mine")


def test_falls_back_to_the_raw_answer(tmp_path: Path) -> None:
    log(tmp_path / "0.3", {"parsed": 1}, resps=[["cat"]])
    assert read_responses(tmp_path) == {0.3: {"mme/0": "cat"}}


def test_log_likelihoods_are_no_answers(tmp_path: Path) -> None:
    log(tmp_path / "0.3", [[-1.5, False], [-2.0, True]])
    with pytest.raises(UserError, match="no single text answer"):
        read_responses(tmp_path)


def test_filters_are_told_apart(tmp_path: Path) -> None:
    log(tmp_path / "0.3", "4", name="a_samples_gsm.jsonl", filter="strict")
    log(tmp_path / "0.3", "four", name="b_samples_gsm.jsonl", filter="flexible")
    assert read_responses(tmp_path) == {0.3: {"gsm/strict/0": "4", "gsm/flexible/0": "four"}}
