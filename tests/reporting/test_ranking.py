from __future__ import annotations

from pathlib import Path

import pytest

from adamms.errors import UserError
from adamms.reporting.ranking import (
    RankedSearch,
    draw,
    failed_search,
    finished_search,
    print_ranking,
    ranked,
    to_json,
    to_table,
)
from adamms.runs.run_folder import RunFolder


def selection(
    folder: Path,
    alpha: float | None,
    score: float,
    warnings: tuple[str, ...] = (),
    metric: str = "either",
    of_task: tuple[str, ...] = (),
) -> RunFolder:
    found = {
        "coefficient": "density",
        "alpha": alpha,
        "metric": metric,
        "scores": {"0": None, "0.1": score, "0.2": 9, "0.3": None},
        "bootstrap": {"0.1": 0.75},
        "prompts": {"used": 20},
        "warnings": list(warnings),
        "tasks": {"ocr": {"alpha": 0.2, "warnings": list(of_task)}},
    }
    run = RunFolder(folder)
    run.write(run.selection, found)
    return run


def test_a_row_is_what_the_search_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = finished_search("p/linear", "finished", selection(tmp_path / "a", 0.1, 5), "either")
    assert (row.status, row.chosen, row.divergence, row.support) == ("finished", 0.1, 0.25, 0.75)
    assert row.tasks == {"ocr": 0.2}
    (printed,) = to_json([row])
    assert (printed["coefficient"], printed["alpha"]) == ("density", 0.1)
    print_ranking([row], "either")
    assert capsys.readouterr().out.split()[:3] == ["pair/method", "density", "either"]
    none = finished_search("p/ties", "finished", selection(tmp_path / "b", None, 5), "either")
    assert (none.chosen, none.divergence, none.support) == (None, None, None)
    stopped = finished_search(
        "q", "finished", selection(tmp_path / "c", 0.1, 5, ("stopped by budget.hours=1 after 20 of 40",)), "either"
    )
    assert stopped.status == "stopped"
    one_task = selection(tmp_path / "e", 0.1, 5, of_task=("stopped by budget.hours=1 after 20 of 40",))
    assert finished_search("q", "finished", one_task, "either").status == "stopped", "a task is not done"
    told = ("budget.hours=1 was over before the donor had scored all answers, so the choice is by logprob",)
    unscored = finished_search("q", "finished", selection(tmp_path / "d", 0.1, 5, told), "either")
    assert unscored.status == "stopped", "the same sweep goes on with it"


def test_the_most_consistent_first_and_failures_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        failed_search("z", UserError("donor: no such folder")),
        RankedSearch("b", "finished", 0.3, 0.4),
        RankedSearch("a", "finished", 0.1, 0.4),
        RankedSearch("c", "unchanged", 0.2, 0.0),
        failed_search("y", ValueError("what\nmore")),
    ]
    order = ranked(rows)
    assert [row.name for row in order] == ["c", "a", "b", "y", "z"]
    print_ranking(order, "either")
    told = capsys.readouterr().out
    assert [line.split()[1] for line in told.splitlines()[1:4]] == ["c", "a", "b"]
    assert "z: donor: no such folder" in told
    assert "y: ValueError: what" in told
    written = draw(order, "either", tmp_path)
    assert {path.suffix for path in written} == {".png", ".html"}
    assert "c" in (tmp_path / "ranking.html").read_text()
    assert draw([rows[0]], "either", tmp_path / "none") == []


def test_who_was_chosen_by_another_criterion_has_no_place_among_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = {name: selection(tmp_path / name, 0.1, score, metric=metric) for name, score, metric in (
        ("a", 2, "logprob"), ("b", 9, "logprob+parents"), ("c", 8, "logprob+parents")
    )}  # fmt: skip
    rows = ranked(finished_search(name, "finished", run, "logprob+parents") for name, run in runs.items())
    assert [row.name for row in rows] == ["c", "b", "a"]
    print_ranking(rows, "logprob+parents")
    assert "0.100 by logprob" in capsys.readouterr().out
    _, cells = to_table(to_json(rows))
    assert [row[0] for row in cells] == [1, 2, None]
    draw(rows, "logprob+parents", tmp_path)
    assert '"a"' not in (tmp_path / "ranking.html").read_text()


def test_the_table_has_a_place_for_each_that_chose(tmp_path: Path) -> None:
    rows = ranked(
        [failed_search("z", UserError("no such folder")), RankedSearch("a", "finished", 0.1, 0.4, tasks={"ocr": None})]
    )
    columns, cells = to_table(to_json(rows))
    assert columns[:3] == ["place", "name", "status"]
    assert [row[:2] for row in cells] == [[1, "a"], [None, "z"]]
    assert dict(zip(columns, cells[0], strict=True))["tasks"] == "ocr -"
    assert dict(zip(columns, cells[1], strict=True))["warnings"] == "no such folder"
    assert to_table([]) == ([], [])
