"""Whose a run folder is, and what happens to the results of whoever gives way."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from adamms.errors import UserError
from adamms.runs.candidate import CandidateRecord
from adamms.runs.ownership import must_give_way, without_refine
from adamms.runs.run_folder import RunFolder

SAME: dict[str, Any] = {"base": "b1", "searching.alphas": [0.0, 0.5, 1.0], "searching.refine": [0.1]}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    found = RunFolder(tmp_path)
    found.describe("key", "name", {}, same=SAME)
    found.write_candidate(CandidateRecord(0.5))
    return found


def test_the_same_search_and_further_rounds_of_it_go_on(run: RunFolder) -> None:
    assert not must_give_way(run, SAME, force=False)
    assert not must_give_way(run, SAME, force=True)
    assert not must_give_way(run, SAME | {"searching.refine": [0.1, 0.05]}, force=False)
    assert not must_give_way(RunFolder(run.folder / "new"), SAME, force=False)
    shutil.rmtree(run.candidates)
    assert not must_give_way(run, SAME | {"base": "b2"}, force=False), "nothing was found yet"


def test_what_lines_are_made_of_is_compared_line_by_line(tmp_path: Path) -> None:
    whole, run = {"searching.methods": {"linear": SAME, "ties": SAME}}, RunFolder(tmp_path)
    run.describe("key", "name", {}, same=whole)
    run.write(run.selection, {"alpha": 0.5})
    grown = {"searching.methods": dict.fromkeys(("linear", "ties"), SAME | {"searching.refine": [0.1, 0.05]})}
    assert not must_give_way(run, grown, force=False)
    assert without_refine(grown) == without_refine(whole) != whole
    other = {"searching.methods": {"linear": SAME | {"base": "b2"}, "slerp": SAME}}
    told = "searching.methods: linear: base was b1, now b2; searching.methods: ties was there, now not there; "
    with pytest.raises(UserError, match=told + "searching.methods: slerp was not there, now there"):
        must_give_way(run, other, force=False)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"searching.alphas": [0.0, 0.4, 1.0]}, r"searching.alphas was \[0.0, 0.5, 1.0\], now \[0.0, 0.4, 1.0\]"),
        ({"searching.refine": [0.05]}, r"searching.refine was \[0.1\], now \[0.05\]"),
        ({"searching.refine": []}, r"searching.refine was \[0.1\], now \[\]"),
        ({"base": "b2", "merging.density": 0.2}, "base was b1, now b2; merging.density was not there, now 0.2"),
    ],
)
def test_another_search_is_refused_in_one_line_that_says_what_differs(
    run: RunFolder, changed: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError, match=rf"belongs to another search \({told}\); give another run_dir, or --force"):
        must_give_way(run, SAME | changed, force=False)
    assert must_give_way(run, SAME | changed, force=True)


def test_what_gives_way_finds_a_place_where_an_earlier_one_was_removed(run: RunFolder) -> None:
    for number in (1, 2):
        run.write(run.selection, {"alpha": number})
        run.set_aside()
    shutil.rmtree(run.folder / "earlier-1")
    assert run.latest == 2
    run.write(run.selection, {"alpha": 3})
    run.set_aside()
    assert run.read(run.folder / "earlier-3" / "selection.json") == {"alpha": 3}
    assert run.read(run.folder / "earlier-2" / "selection.json") == {"alpha": 2}


@pytest.mark.parametrize("command", ["search", "search prompts.suffix='\nAnswer in one word.\n\n# so' x=1", ""])
def test_settings_are_yaml_whatever_the_command_holds(tmp_path: Path, command: str) -> None:
    run = RunFolder(tmp_path)
    run.write_settings(command, "base: b\n")
    assert run.read_settings() == (command, "base: b\n")
    assert OmegaConf.load(run.settings) == {"base": "b"}


def test_what_gives_way_is_a_run_folder_itself_and_the_answers_stay(run: RunFolder) -> None:
    for number in (1, 2):
        run.describe(f"key-{number}", "name", {}, same=SAME)
        run.write(run.selection, {"alpha": number})
        run.write(run.merged / "config.json", {})
        run.write(run.folder / "responses" / "1.jsonl", {})
        run.set_aside()
        assert {path.name for path in run.folder.iterdir()} == {
            "responses",
            *(f"earlier-{n + 1}" for n in range(number)),
        }
    found = run.earlier()
    assert [one.read(one.selection)["alpha"] for one in found] == [1, 2]
    assert [one.read(one.about)["key"] for one in found] == ["key-1", "key-2"]
    assert all(one.is_earlier and (one.merged / "config.json").is_file() for one in found)
    assert not run.is_earlier
