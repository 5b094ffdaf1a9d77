"""A short draw of `make fuzz`: the same doors, the same rules, some cases each; the seed is the day's."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from tests.fuzz import guard
from tests.fuzz.doors import DOORS
from tests.fuzz.draw import draw_cases
from tests.fuzz.guard import attempt

CASES = 400
FEWEST = 6


@pytest.mark.parametrize("name", DOORS)
def test_nothing_breaks_in(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(guard, "LONGEST", 30.0)  # a shared machine has slow moments
    monkeypatch.setenv("ADAMMS_CACHE", str(tmp_path / "cache"))
    seed = date.today().toordinal()
    print(f"seed {seed}")
    door = DOORS[name]
    shares = sum(one.share for one in DOORS.values())
    assert draw_cases(door, tmp_path, max(FEWEST, round(CASES * door.share / shares)), seed).count >= FEWEST


def test_the_guard_sees_what_a_case_does(tmp_path: Path) -> None:
    def write(place: Path) -> None:
        place.mkdir()
        (place / "file").write_text("x")

    attempt(lambda: write(tmp_path / "out"), tmp_path / "out")
    with pytest.raises(AssertionError, match="wrote to"):
        attempt(lambda: write(tmp_path / "elsewhere"), tmp_path / "out")
    with pytest.raises(AssertionError, match="wrote to"):
        attempt(lambda: write(tmp_path / "nothing may"))
    with pytest.raises(ZeroDivisionError):
        attempt(lambda: 1 / 0)
