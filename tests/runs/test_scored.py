from __future__ import annotations

import json
from pathlib import Path

import pytest

from adamms.errors import UserError
from adamms.runs.record import Response
from adamms.runs.scored import read_scores, scored_id, with_scores


def write(folder: Path, *rows: tuple[str, str, list[float] | None, str]) -> None:
    folder.mkdir(parents=True)
    lines = (
        {"alpha": 0, "prompt_id": scored_id(name, n), "response": text, "logprobs": given, "finish_reason": reason}
        for n, (name, text, given, reason) in enumerate(rows)
    )
    (folder / "part.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_the_scores_of_both_parents_are_found_beside_the_answers(tmp_path: Path) -> None:
    write(tmp_path / "scored" / "base", ("a#1", "cat", [-1.0, -3.0], "stop"), ("a#1", "cat", [-9.0], "length"))
    write(tmp_path / "scored" / "donor", ("a#1", "cat", [-0.5], "stop"), ("b", "", [], "length"))
    answers = {0.1: {"a#1": Response("cat", [-0.1]), "b": Response("", [], ended=False), "c": "nobody's"}}
    for place in (tmp_path, tmp_path / "responses"):
        scored = with_scores(answers, read_scores(place))[0.1]
        assert isinstance(scored["a#1"], Response)
        assert (scored["a#1"], scored["a#1"].by_parents, scored["a#1"].logprobs) == ("cat", (-2.0, -0.5), (-0.1,))
        assert scored["b"] is answers[0.1]["b"], "the base has not scored it"
        assert scored["c"] == "nobody's"


def test_an_answer_without_log_probabilities_is_not_scored_and_one_without_tokens_is_certain(tmp_path: Path) -> None:
    for parent in ("base", "donor"):
        write(tmp_path / "scored" / parent, ("a", "cat", None, "stop"), ("b", "", [], "length"))
    assert read_scores(tmp_path) == [{("b", "", False): 0.0}] * 2


def test_of_several_donors_each_counts_and_lines_find_them_in_the_whole(tmp_path: Path) -> None:
    for parent, score in (("base", -1.0), ("donor-1", -2.0), ("donor-2", -3.0)):
        write(tmp_path / "scored" / parent, ("a", "cat", [score], "stop"))
    line = tmp_path / "lines" / "x_0.0"
    line.mkdir(parents=True)
    scored = with_scores({0.1: {"a": Response("cat", [-0.1])}}, read_scores(line))[0.1]["a"]
    assert isinstance(scored, Response)
    assert scored.by_parents == (-1.0, -2.0, -3.0)


def test_scores_that_were_set_aside_are_no_further_parent(tmp_path: Path) -> None:
    for parent, score in (("base", -1.0), ("donor", -2.0), ("donor.old-1", -3.0)):
        write(tmp_path / "scored" / parent, ("a", "cat", [score], "stop"))
    assert [len(scores) for scores in read_scores(tmp_path)] == [1, 1]


def test_a_folder_without_scores_is_said_to_have_none(tmp_path: Path) -> None:
    write(tmp_path / "scored" / "base", ("a", "cat", [-1.0], "stop"))
    with pytest.raises(UserError, match="holds no scores of base and donor"):
        read_scores(tmp_path)
