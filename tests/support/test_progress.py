"""Nobody waits in silence: slow steps are named, and where no terminal shows a bar, lines say how far the work is."""

from __future__ import annotations

import time

import pytest

from adamms.support import progress
from adamms.support.times import spell_seconds


def test_a_slow_step_is_named_and_a_quick_one_is_not(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "FIRST_LINE", 0.05)  # of what is no terminal
    with progress.doing("opening the models"):
        time.sleep(0.4)
    monkeypatch.setattr(progress, "FIRST_LINE", 60)
    with progress.doing("a quick step"):
        pass
    assert capfd.readouterr().err == "opening the models ...\n"


def test_lines_say_how_far_and_how_long(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.count_bar("answering", 100) as advance:
        for seconds in (1, 7, 8, 50):
            now[0] = 100.0 + seconds
            advance(20, "alpha 0.3")
        now[0] = 170.0
        advance(20, "alpha 0.4")
    first, second, last = capfd.readouterr().err.splitlines()
    assert first == f"answering alpha 0.3: 40/100, about {spell_seconds(7 * 60 / 40)} left"
    assert second.startswith("answering alpha 0.3: 80/100")
    assert last == "answering alpha 0.4: 100/100 in 1 min 10 s"
