"""What makes an answer right, and where the right ones come from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamms.errors import UserError
from adamms.prompts.config import Match, PromptsConfig
from adamms.prompts.labels import Label, load_labelled, read_labels
from adamms.prompts.prompt import load_prompts


def write(folder: Path, *rows: dict[str, object]) -> Path:
    path = folder / "labelled.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("match", "answers", "answer", "right"),
    [
        ("exact", ("red",), " red\n", True),
        ("exact", ("red",), "Red", False),
        ("exact", ("red",), "red.", False),
        ("exact", ("red", "crimson"), "crimson", True),
        ("normalized", ("red",), "Red.", True),
        ("normalized", ("2",), "Two", True),
        ("normalized", ("cat", "a dog"), "The dog!", True),
        ("normalized", ("red",), "blue", False),
    ],
)
def test_an_answer_is_right_to_the_letter_or_as_it_is_normalized(
    match: Match, answers: tuple[str, ...], answer: str, right: bool
) -> None:
    assert Label(answers, match).accepts(answer) is right


@given(st.lists(st.text(), min_size=1, max_size=3), st.sampled_from(["exact", "normalized"]))
def test_every_answer_of_a_label_is_right(answers: list[str], match: Match) -> None:
    label = Label(tuple(answers), match)
    assert all(map(label.accepts, answers))


def test_labels_belong_to_the_prompts_that_were_drawn(tmp_path: Path) -> None:
    path = write(tmp_path, *({"id": f"q{i}", "prompt": "?", "answer": str(i)} for i in range(20)))
    prompts = load_prompts(PromptsConfig(path=str(path), n=7, seed=3))
    assert read_labels(path, prompts) == {prompt.id: Label((prompt.id[1:],)) for prompt in prompts}


def test_an_answer_may_be_a_number_or_a_list_of_which_each_is_right(tmp_path: Path) -> None:
    path = write(tmp_path, {"prompt": "a", "answer": 2}, {"prompt": "b", "answer": ["two", 2]})
    found = load_labelled(str(path), PromptsConfig(), "normalized")
    assert [found.labels[prompt.id].answers for prompt in found.prompts] == [("2",), ("two", "2")]
    assert found.right({prompt.id: "Two." for prompt in found.prompts}) == [True, True]


@pytest.mark.parametrize("answer", [None, [], {"text": "red"}, ["red", None], True])
def test_a_prompt_without_an_answer_is_named(tmp_path: Path, answer: object) -> None:
    path = write(tmp_path, {"id": "x", "prompt": "?", "answer": "1"}, {"id": "y", "prompt": "?", "answer": answer})
    prompts = load_prompts(PromptsConfig(path=str(path)))
    with pytest.raises(UserError, match=r"1 prompts have no `answer` \(a text, a number, or a list .*\), first 'y'"):
        read_labels(path, prompts)


def test_labels_are_read_from_a_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file; labels are read from JSONL"):
        read_labels(tmp_path / "none.jsonl", [])
    (tmp_path / "labelled.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match="is Parquet; labels are read from JSONL"):
        read_labels(tmp_path / "labelled.parquet", [])
