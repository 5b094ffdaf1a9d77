"""Choosing again in the folder of a search: from its own candidates and prompts, by all that it keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adamms.commands.select import kept_donors, select
from adamms.errors import UserError
from adamms.prompts.prompt import Prompt
from adamms.runs.run_folder import RunFolder
from adamms.selecting.methods import MethodSelection
from adamms.selecting.selection import Selection


def test_donors_answers_are_kept_in_the_folder_of_the_whole(tmp_path: Path) -> None:
    one, several = tmp_path / "one", tmp_path / "several"
    for folder in (
        one / "donor",
        one / "methods" / "ties",
        several / "donor-1",
        several / "donor-2",
        several / "lines",
    ):
        folder.mkdir(parents=True)
    assert kept_donors(RunFolder(one)) == [one / "donor"]
    assert kept_donors(RunFolder(one / "methods" / "ties")) == [one / "donor"]
    assert kept_donors(RunFolder(several / "lines" / "x_0.0")) == [several / "donor-1", several / "donor-2"]
    assert kept_donors(RunFolder(tmp_path)) == []
    for aside in ("donor.old-1", "donor-1.old-1"):
        (several / aside).mkdir()
    (several / "donor-10").mkdir()
    kept = [several / name for name in ("donor-1", "donor-2", "donor-10")]
    assert kept_donors(RunFolder(several)) == kept, "in their order, and not what was set aside"


BASE = "abcdefghijkl"
"""An answer a letter, to each of as many prompts."""
ROWS = {0.0: BASE, 0.1: BASE, 0.2: BASE[:-1] + "x", 0.3: BASE[:-3] + "xyz", 0.4: BASE[:-6] + "uvwxyz"}


def a_run(folder: Path, scores: list[float] | None = None, **selection: Any) -> RunFolder:
    """A search over two tasks that has asked the first candidates of `ROWS`, and what an earlier one left."""
    run = RunFolder(folder)
    tasks = {task: [Prompt(f"{task}/{i}", "?") for i in range(len(BASE))] for task in ("one", "two")}
    run.describe("key", "name", {}, same={"searching.metric": "either", "searching.alphas": [0.0, 0.1, 0.2, 0.3]})
    run.describe_prompts(tasks, dict.fromkeys(tasks, "somewhere"), 0)
    lines = [
        {"alpha": alpha, "prompt_id": prompt.id, "response": answer}
        for alpha, row in ROWS.items()
        for asked in tasks.values()
        for prompt, answer in zip(asked, row, strict=True)
        if alpha != 0.4 or prompt.id == "one/0"  # it was killed soon
    ]
    lines += [{"alpha": alpha, "prompt_id": "one/of another draw", "response": f"{alpha}"} for alpha in (0.1, 0.2)]
    file = folder / "responses" / "1.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    if scores is not None:
        run.write(run.selection, {"scores": {str(value): 0 for value in scores}, **selection})
    return run


def test_what_an_earlier_search_left_in_the_folder_is_not_chosen_from(tmp_path: Path) -> None:
    for number, scores in enumerate([None, [0.0, 0.1, 0.2, 0.3]]):
        a_run(tmp_path / str(number), scores)
        found = select(tmp_path / str(number))
        assert isinstance(found, Selection)
        assert list(found.scores) == [0.0, 0.1, 0.2, 0.3], "and not 0.4, of which one answer is there"
        assert (found.chosen, found.prompts_used, found.prompts_dropped) == (0.1, 2 * len(BASE), 0)


def test_methods_that_an_earlier_search_left_in_the_folder_are_not_chosen_among(tmp_path: Path) -> None:
    a_run(tmp_path)
    alone = select(tmp_path)
    for method in ("linear", "ties"):
        a_run(tmp_path / "methods" / method)
    again = select(tmp_path)
    assert isinstance(again, Selection)
    assert again == alone
    RunFolder(tmp_path).describe("key", "name", {}, same={"command": "sweep"})
    with pytest.raises(UserError, match="holds 2 searches; give one of them"):
        select(tmp_path)
    RunFolder(tmp_path).describe("key", "name", {}, same={"searching.methods": 5})
    with pytest.raises(UserError, match="not as a search leaves them"):
        select(tmp_path)


def test_of_finer_rounds_the_last_one_is_chosen_from_each_task_s_own(tmp_path: Path) -> None:
    a_run(tmp_path, [0.0, 0.1, 0.2], tasks={"two": {"scores": {"0.1": 0, "0.2": 0, "0.3": 0}}})
    assert list(scores_of(select(tmp_path))) == [0.0, 0.1, 0.2]
    found = select(tmp_path, task="two")
    assert list(scores_of(found)) == [0.1, 0.2, 0.3]
    assert isinstance(found, Selection)
    assert found.prompts_used == len(BASE)


def test_a_criterion_that_is_not_the_search_s_own_has_its_own_end_points(tmp_path: Path) -> None:
    """A search by a criterion that may choose end points has stored that they may be chosen."""
    found = {"metric": "logprob", "endpoints": "one_sided"}
    a_run(tmp_path, [0.0, 0.1, 0.2, 0.3], **found)
    assert select(tmp_path, "either").chosen == 0.1
    assert select(tmp_path, "either", "one_sided").chosen == 0.0


def test_what_a_search_fell_back_to_is_what_it_chose_by(tmp_path: Path) -> None:
    """No donor could score: a second selection needs no scores either."""
    run = a_run(tmp_path, [0.0, 0.1, 0.2, 0.3], metric="either", endpoints="exclude")
    run.describe("key", "name", {}, same={"searching.metric": "logprob+parents", "searching.endpoints": "one_sided"})
    assert select(tmp_path).chosen == 0.1


def test_labels_of_the_last_round_are_used_again(tmp_path: Path) -> None:
    right = {"0.1": [0] * 9, "0.2": [0] * 9, "0.3": [1] * 9}
    a_run(tmp_path, [0.1, 0.2, 0.3], labels={"right": right})
    found = select(tmp_path)
    assert isinstance(found, Selection)
    assert (found.chosen, list(found.marks)) == (0.3, [0.1, 0.2, 0.3])


def test_what_a_search_found_of_base_and_donor_is_not_forgotten(tmp_path: Path) -> None:
    a_run(tmp_path, [0.1, 0.2, 0.3], contradicted=9)
    found, other = select(tmp_path), select(tmp_path, "sum")
    assert isinstance(found, Selection)
    assert isinstance(other, Selection)
    assert (found.contradicted, other.contradicted) == (9, 0), "of another criterion nothing is known"


def scores_of(found: Selection | MethodSelection) -> Any:
    assert isinstance(found, Selection)
    return found.scores
