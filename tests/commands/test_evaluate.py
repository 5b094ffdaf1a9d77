"""Judging a search: only by its own settings."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import adamms.commands.evaluate
from adamms.commands.evaluate import (
    Judging,
    check_one_line,
    check_same,
    evaluate,
    judge_tasks,
    prepare_judging,
    search_prompts,
    warn_of_known,
)
from adamms.commands.settings import EvaluateSettings, SearchSettings
from adamms.config import settings_yaml
from adamms.errors import UserError
from adamms.judging.lmms_eval import LmmsEvalConfig
from adamms.prompts.config import LabelledConfig, PromptsConfig
from adamms.prompts.tasks import load_tasks
from adamms.runs.run_folder import RunFolder
from adamms.searching.config import SearchingConfig
from adamms.tracking.config import TrackingConfig

ASKED = {"base": "b1", "merging.method": "linear", "engine.max_tokens": 16, "engine.stop": []}


def study(**changed: Any) -> Any:
    return SimpleNamespace(asked=lambda: ASKED | changed)


def test_candidates_are_judged_as_they_were_searched(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    check_same(run, study())
    run.describe("key", "name", {}, same=ASKED | {"searching.alphas": [0.1]})
    check_same(run, study())
    told = r"engine.max_tokens was 16, now 32\); give those of the search"
    with pytest.raises(UserError, match=rf"is of a search with other settings \({told}.*settings.yaml has them"):
        check_same(run, study(**{"engine.max_tokens": 32}))


@pytest.mark.parametrize("lines", ["searching.methods", "lines"])
def test_of_several_lines_each_is_judged_by_itself(tmp_path: Path, lines: str) -> None:
    run = RunFolder(tmp_path)
    run.describe("key", "name", {}, same={lines: {"linear": ASKED}})
    with pytest.raises(UserError, match="labels judge one of its lines: take the settings"):
        check_one_line(EvaluateSettings(base="a", donor="b"), run)


@pytest.mark.parametrize(
    "settings",
    [
        EvaluateSettings(base="a", donor="b", searching=SearchingConfig(methods=("linear", "ties"))),
        EvaluateSettings(base="a", donors=("b", "c")),
    ],
)
def test_settings_of_several_lines_are_refused_too(tmp_path: Path, settings: EvaluateSettings) -> None:
    with pytest.raises(UserError, match="labels judge one of its lines"):
        check_one_line(settings, RunFolder(tmp_path))
    check_one_line(replace(settings, donor="b", donors=(), searching=SearchingConfig()), RunFolder(tmp_path))


def test_lmms_eval_alone_judges_the_winner_of_several_methods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunFolder(tmp_path)
    run.merged.mkdir()
    ran = []
    for name, stand_in in {
        "check_lmms_eval": lambda *_: None,
        "run_lmms_eval": lambda *given: ran.append(given) or {"task": 1.0},
    }.items():
        monkeypatch.setattr(adamms.commands.evaluate, name, stand_in)
    settings = EvaluateSettings(
        base="a",
        donor="b",
        run_dir=str(tmp_path),
        searching=SearchingConfig(methods=("linear", "ties")),
        lmms_eval=LmmsEvalConfig(tasks=("task",)),
        tracking=TrackingConfig(enabled=False),
    )
    assert evaluate(settings) == {}
    assert [given[1] for given in ran] == [run.merged]
    with pytest.raises(UserError, match="labels judge one of its lines"):
        evaluate(replace(settings, labelled=LabelledConfig(path="labelled.jsonl")))


def test_without_labels_it_says_what_it_expected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"labelled.path: not given; expected a JSONL file with `prompt` and `answer`"):
        evaluate(EvaluateSettings(base="a", donor="b", run_dir=str(tmp_path)))


def test_labels_that_the_search_was_given_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [json.dumps({"prompt": f"what is {i}?", "answer": str(i)}) for i in range(6)]
    few, many = tmp_path / "few.jsonl", tmp_path / "many.jsonl"
    few.write_text("\n".join(rows[:2]))
    many.write_text("\n".join(rows[1:]))
    asked = LabelledConfig(path=str(many), suffix="In a word.")
    settings = EvaluateSettings(base="a", donor="b", labelled=asked, searching=SearchingConfig(labels=str(few)))
    warn_of_known(settings, load_tasks(asked))
    assert "1 of 5 labelled prompts are among searching.labels" in caplog.text
    caplog.clear()
    warn_of_known(replace(settings, searching=SearchingConfig()), load_tasks(asked))
    warn_of_known(replace(settings, searching=SearchingConfig(labels=str(tmp_path / "gone"))), load_tasks(asked))
    assert not caplog.text
    few.write_text("no JSON")
    warn_of_known(settings, load_tasks(asked))
    assert "cannot be told" in caplog.text


def test_a_chosen_candidate_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Book:
        def answers_at(self, value: float) -> dict[str, str]:
            raise UserError(f"candidate {value}: out of memory")

    monkeypatch.setattr(adamms.commands.evaluate, "WarmEngines", lambda _: nullcontext())
    monkeypatch.setattr(adamms.commands.evaluate, "answer_all", lambda *_: Book())
    judging = Judging(study(), {"": []}, {"": {}}, {"": {"alpha": 0.3, "scores": {}}}, {}, [])
    with pytest.raises(UserError, match=r"candidate 0.3: out of memory"):
        judge_tasks(EvaluateSettings(base="a", donor="b"), judging)


def test_the_report_is_of_what_the_search_asked(tmp_path: Path) -> None:
    run, file = RunFolder(tmp_path / "run"), tmp_path / "prompts.jsonl"
    file.write_text("".join(json.dumps({"id": f"p{i}", "prompt": f"what is {i}?"}) + "\n" for i in range(6)))
    asked = PromptsConfig(path=str(file), n=2, suffix=" In a word.")
    texts = {f"what is {i}? In a word." for i in range(6)}
    run.write_settings("adamms search", settings_yaml(SearchSettings(base="a", donor="b", prompts=asked)))
    for own in (PromptsConfig(), PromptsConfig(path=str(file)), PromptsConfig(path=str(tmp_path / "gone"))):
        found = search_prompts(run, own)
        assert len(found) == 2
        assert {prompt.text for prompt in found} < texts
    moved = file.rename(tmp_path / "moved.jsonl")
    assert search_prompts(run, PromptsConfig(path=str(moved))) == found
    with pytest.raises(UserError, match=r"the search's prompts.*prompts.jsonl: no such file.*say where they are by"):
        search_prompts(run, PromptsConfig())


@pytest.mark.parametrize("left", [None, "prompts: [", "base: a", "prompts: {unheard: of}"])
def test_a_search_that_left_no_settings_is_told_of_by_those_of_evaluate(tmp_path: Path, left: str | None) -> None:
    run, file = RunFolder(tmp_path), tmp_path / "prompts.jsonl"
    file.write_text(json.dumps({"prompt": "what?"}))
    if left is not None:
        run.settings.write_text(left)
    assert [prompt.text for prompt in search_prompts(run, PromptsConfig(path=str(file)))] == ["what?"]
    with pytest.raises(UserError, match=r"prompts.path: not given.*say where they are by prompts.path or prompts.task"):
        search_prompts(run, PromptsConfig())


def test_prompts_that_are_gone_are_told_before_anything_is_asked(tmp_path: Path) -> None:
    run, labelled = RunFolder(tmp_path / "run"), tmp_path / "labelled.jsonl"
    labelled.write_text(json.dumps({"prompt": "what?", "answer": "that"}))
    run.write(run.selection, {"alpha": 0.3, "scores": {}, "verdict": "settled"})
    settings = EvaluateSettings(base="a", donor="b", labelled=LabelledConfig(path=str(labelled)))
    with pytest.raises(UserError, match=r"the search.s prompts, which its report shows: prompts.path: not given"):
        prepare_judging(settings, run)
