from __future__ import annotations

import logging

import pytest

from adamms.engines import waiting
from adamms.engines.waiting import Waiting


def test_what_is_waited_for_is_said_again_and_again_and_logged_where_it_takes_long(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock, told = [100.0], []
    monkeypatch.setattr(waiting.time, "monotonic", lambda: clock[0])
    said = Waiting(told.append)
    with caplog.at_level(logging.WARNING):
        for second in range(100):
            clock[0] = 100.0 + second
            said.say("engine 0 is loading", since=100.0)
        assert told[:3] == [f"engine 0 is loading ({seconds} s)" for seconds in (0, 5, 10)]
        assert [record.message for record in caplog.records] == [
            f"engine 0 is loading ({seconds} s)" for seconds in (30, 90)
        ]
        told.clear()
        said.say("waiting for the cluster", since=190.0, more=lambda: ", 0 GPU free")
        assert told == ["waiting for the cluster, 0 GPU free (9 s)"], "a change is said at once"
        said.over()
        clock[0] += 29
        said.say("engine 1 is loading", since=clock[0])
    assert len(caplog.records) == 2, "waiting began anew"


def test_what_happens_is_said_and_logged_at_once(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []
    Waiting(told.append).note("restarting engine 1: it died")
    assert told == [record.message for record in caplog.records] == ["restarting engine 1: it died"]
