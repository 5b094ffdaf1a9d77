"""Whose answers a search finds in its folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adamms.commands.settings import SearchSettings
from adamms.config import load_settings
from adamms.engines.engine import Answer
from adamms.errors import UserError
from adamms.searching.preparing import LABELLED, prepare
from tests.support.tiny_models import TinyPair


def test_answers_to_labelled_prompts_that_were_put_otherwise_are_another_search_s(
    tiny_pair: TinyPair, prompt_file: Path, tmp_path: Path
) -> None:
    labels, run = tmp_path / "labels.jsonl", tmp_path / "run"
    given = {"base": str(tiny_pair.base), "donor": str(tiny_pair.donor), "run_dir": str(run)}
    own = {"prompts": {"path": str(prompt_file)}, "engine": {"kind": "transformers"}}
    searching = {"searching": {"metric": "either", "labels": str(labels)}}
    settings = load_settings(SearchSettings, None, [], given, own, searching)

    def ask(question: str) -> None:
        labels.write_text("".join(json.dumps({"prompt": f"{question} {n}?", "answer": "x"}) + "\n" for n in range(4)))

    ask("What is")
    found = prepare(settings).labelled
    assert found is not None
    labelled, answers = found
    answers.save(0.0, labelled.prompts, [Answer(one.id, "x", (1,), "stop") for one in labelled.prompts])
    assert prepare(settings).labelled, "its own are no other's"
    ask("Who is")
    with pytest.raises(UserError, match=f"{LABELLED}: holds 4 answers of another search"):
        prepare(settings)
    prepare(settings, force=True)
    assert [file.name for file in run.iterdir() if LABELLED in file.name] == [f"{LABELLED}.old-1"]
