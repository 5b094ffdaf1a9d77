"""Choosing again in the folder of a search: where it keeps its donors' own answers."""

from __future__ import annotations

from pathlib import Path

from adamms.commands.select import kept_donors
from adamms.runs.run_folder import RunFolder


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
