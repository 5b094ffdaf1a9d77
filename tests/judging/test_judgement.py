from __future__ import annotations

import json
from pathlib import Path

import pytest

from adamms.errors import UserError
from adamms.judging.judgement import accuracy, judge, spearman
from adamms.prompts.config import PromptsConfig
from adamms.prompts.labels import read_labels
from adamms.prompts.prompt import load_prompts

LABELS = {"a": "red", "b": "blue", "c": "two"}
ANSWERS = {
    0.0: {"a": "red", "b": "red", "c": "two "},
    0.5: {"a": "red", "b": "blue", "c": "two"},
    1.0: {"a": "", "b": "", "c": ""},
}


def test_accuracy_counts_exact_answers_but_for_surrounding_space() -> None:
    assert accuracy(ANSWERS[0.0], LABELS) == pytest.approx(200 / 3)
    assert accuracy({"a": "Red", "b": "blue", "c": "2"}, LABELS) == pytest.approx(100 / 3)


def test_regret_is_what_the_oracle_has_more() -> None:
    found = judge(0.0, {0.0: 5, 0.5: 1, 1.0: None}, ANSWERS, LABELS, donor=ANSWERS[1.0])
    assert (found.oracle, found.donor) == (0.5, 0.0)
    assert found.regret == pytest.approx(100 / 3)
    assert found.rank_correlation == pytest.approx(-1)  # of the two that have a score
    assert found.to_json()["accuracy"]["0.5"] == 100


def test_rank_correlation_is_by_ranks_and_undefined_for_a_constant() -> None:
    assert spearman([1.0, 2.0, 30.0], [9.0, 8.0, -100.0]) == pytest.approx(-1)
    assert spearman([1.0, 1.0], [2.0, 3.0]) is None


def test_labels_belong_to_the_prompts_that_were_drawn(tmp_path: Path) -> None:
    path = tmp_path / "labelled.jsonl"
    rows = [{"id": f"q{i}", "prompt": "?", "answer": str(i)} for i in range(20)]
    path.write_text("\n".join(map(json.dumps, rows)))
    prompts = load_prompts(PromptsConfig(path=str(path), n=7, seed=3))
    assert read_labels(path, prompts) == {prompt.id: prompt.id[1:] for prompt in prompts}


def test_a_prompt_without_an_answer_is_named(tmp_path: Path) -> None:
    path = tmp_path / "labelled.jsonl"
    path.write_text('{"id": "x", "prompt": "?", "answer": "1"}\n{"id": "y", "prompt": "?"}\n')
    with pytest.raises(UserError, match="1 prompts have no `answer`, first 'y'"):
        read_labels(path, load_prompts(PromptsConfig(path=str(path))))
    with pytest.raises(UserError, match="no such file; labels are read from JSONL"):
        read_labels(path.with_name("none.jsonl"), [])
