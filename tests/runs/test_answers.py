"""Answers know everything that they depend on: what was asked of whom, and which engine answered."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import pytest

from adamms.engines.engine import Answer
from adamms.engines.identity import EngineIdentity
from adamms.errors import UserError
from adamms.prompts.prompt import Prompt
from adamms.runs.answers import Answers
from adamms.runs.record import ResponseRecord
from adamms.runs.responses import read_responses

PROMPTS = [Prompt("a", "What?"), Prompt("b", "Where?"), Prompt("c", "Who?")]
VALUES = [0.0, 0.5, 1.0]
HERE = (("torch", importlib.metadata.version("torch")),)
ENGINE = EngineIdentity("transformers", "float32", "cpu", HERE)
OTHERS = [
    EngineIdentity("vllm", "float32", "cpu", HERE),
    EngineIdentity("transformers", "bfloat16", "cpu", HERE),
    EngineIdentity("transformers", "float32", "cuda", HERE),
    EngineIdentity("transformers", "float32", "cpu", (("torch", "1.0"),)),
]


def given(prompts: list[Prompt]) -> list[Answer]:
    return [Answer(prompt.id, f"answer to {prompt.text}", (1, 2), "stop") for prompt in prompts]


def opened(folder: Path, plan: str = "x", force: bool = False, **wanted: str) -> Answers:
    return Answers(folder / "responses", {"plan": plan}, {"kind": "auto", "dtype": "auto"} | wanted, force)


def filled(folder: Path, engine: EngineIdentity = ENGINE) -> Answers:
    answers = opened(folder)
    answers.made_by(engine)
    for value in VALUES:
        answers.save(value, PROMPTS, given(PROMPTS))
    return answers


def test_what_is_stored_is_found_again_and_is_what_select_reads(tmp_path: Path) -> None:
    filled(tmp_path)
    again = opened(tmp_path)
    found = again.get(0.5, PROMPTS[0])
    assert found is not None
    assert (found.response, found.tokens) == ("answer to What?", 2)
    assert again.get(0.25, PROMPTS[0]) is None
    assert again.get(0.5, Prompt("d", "Why?")) is None
    expected = {value: {p.id: f"answer to {p.text}" for p in PROMPTS} for value in VALUES}
    assert read_responses(tmp_path / "responses") == expected


def test_a_log_probability_that_is_no_number_is_the_same_before_and_after_it_is_stored(tmp_path: Path) -> None:
    answers = opened(tmp_path)
    unsure = (-0.5, float("nan"), float("-inf"), float("inf"))
    answers.save(0.5, PROMPTS[:1], [Answer("a", "a cat", (1, 2, 3, 4), "length", unsure)])
    found = [one.get(0.5, PROMPTS[0]) for one in (answers, opened(tmp_path))]
    assert [record and record.logprobs for record in found] == [(-0.5, -1000.0, -1000.0, -1000.0)] * 2
    (file,) = (tmp_path / "responses").glob("*.jsonl")
    file.write_text(file.read_text().replace("-1000.0", "NaN"))  # as an earlier version stored it
    record = opened(tmp_path).get(0.5, PROMPTS[0])
    assert record is not None
    assert record.logprobs == (-0.5, -1000.0, -1000.0, -1000.0)


@pytest.mark.parametrize("strange", ["12", 10**400, [10**400], ["x"], [True], {"a": 1}])
def test_log_probabilities_of_anybody_that_are_no_numbers_are_none(strange: Any) -> None:
    row = {"alpha": 0.5, "prompt_id": "a", "response": "a cat", "logprobs": strange}
    assert ResponseRecord.from_fields(row).logprobs is None


@pytest.mark.parametrize(
    ("plan", "prompts"),
    [("other", PROMPTS), ("x", [Prompt("a", "Something else?")])],
    ids=["another plan", "another question under the same id"],
)
def test_answers_of_another_search_are_refused_or_set_aside(tmp_path: Path, plan: str, prompts: list[Prompt]) -> None:
    filled(tmp_path)
    other = opened(tmp_path, plan)
    assert other.get(0.0, prompts[0]) is None
    with pytest.raises(UserError, match="another run_dir, or --force"):
        other.check_owner(VALUES, prompts)
    other = opened(tmp_path, plan, force=True)
    other.check_owner(VALUES, prompts)
    assert not other.folder.exists()
    assert read_responses(tmp_path / "responses.old-1")[0.0]["a"] == "answer to What?"


def test_a_search_owns_what_it_stored_itself(tmp_path: Path) -> None:
    opened(tmp_path).check_owner(VALUES, PROMPTS)
    filled(tmp_path)
    opened(tmp_path).check_owner(VALUES, PROMPTS)
    assert opened(tmp_path).get(0.0, PROMPTS[0]) is not None


@pytest.mark.parametrize("engine", OTHERS, ids=str)
def test_another_engine_does_not_go_on_where_one_has_answered(tmp_path: Path, engine: EngineIdentity) -> None:
    """`engine.kind=auto` resolves to something else on another machine: its answers are no continuation."""
    filled(tmp_path)
    answers = opened(tmp_path)
    answers.check_owner(VALUES, PROMPTS)
    with pytest.raises(UserError, match="holds answers of transformers in float32 on cpu"):
        answers.made_by(engine)
    forced = opened(tmp_path, force=True)
    forced.check_owner(VALUES, PROMPTS)
    forced.made_by(engine)
    assert forced.get(0.0, PROMPTS[0]) is None
    assert (tmp_path / "responses.old-1" / "engine.json").is_file()
    forced.save(0.0, PROMPTS, given(PROMPTS))
    assert opened(tmp_path).engine == engine


@pytest.mark.parametrize("wanted", [{"kind": "vllm"}, {"dtype": "bfloat16"}])
def test_settings_that_name_another_engine_are_told_before_one_starts(tmp_path: Path, wanted: dict[str, Any]) -> None:
    filled(tmp_path)
    with pytest.raises(UserError, match=f"{next(iter(wanted))} .*, not {next(iter(wanted.values()))}"):
        opened(tmp_path, **wanted).check_owner(VALUES, PROMPTS)
    opened(tmp_path, kind="transformers", dtype="float32").check_owner(VALUES, PROMPTS)


@pytest.mark.parametrize(("spelled", "resolved"), [("half", "float16"), ("float", "float32")])
def test_a_dtype_has_several_names(tmp_path: Path, spelled: str, resolved: str) -> None:
    filled(tmp_path, EngineIdentity("transformers", resolved, "cpu", HERE))
    opened(tmp_path, dtype=spelled).check_owner(VALUES, PROMPTS)
    with pytest.raises(UserError, match=f"dtype {resolved}, not bfloat16"):
        opened(tmp_path, dtype="bfloat16").check_owner(VALUES, PROMPTS)


def test_other_versions_are_told_of_and_left_to_the_engines(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They may run on other machines, where the versions are still those that answered."""
    filled(tmp_path, OTHERS[-1])
    answers = opened(tmp_path)
    assert not answers.check_owner(VALUES, PROMPTS)
    assert "holds answers of other versions (torch 1.0, not " in caplog.text
    answers.made_by(OTHERS[-1])
    with pytest.raises(UserError, match=r"torch 1\.0.* would go on"):
        answers.made_by(ENGINE)
    assert opened(tmp_path, force=True).check_owner(VALUES, PROMPTS), "all of it is set aside before anything is told"
