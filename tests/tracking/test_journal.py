from __future__ import annotations

import sys
from pathlib import Path

import pytest

from adamms.commands.settings import SearchSettings
from adamms.tracking import settings_text
from adamms.tracking.config import TrackingConfig
from adamms.tracking.journal import Journal


def kinds(journal: Journal) -> list[str]:
    return [operation.kind for operation in journal.operations()]


def test_operations_come_back_in_order_with_their_times(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "key")
    journal.append("open", name="a\nb", params={"x": "é"})
    journal.append("metrics", "0.3", values={"either": 2.0})
    first, second = Journal(tmp_path, "key").operations()
    assert (first.kind, first.run, first.fields) == ("open", None, {"name": "a\nb", "params": {"x": "é"}})
    assert (second.kind, second.run, second.fields) == ("metrics", "0.3", {"values": {"either": 2.0}})
    assert first.time <= second.time


def test_a_line_torn_by_a_kill_is_nobody_s(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "key")
    journal.append("open")
    (file,) = tmp_path.glob("*.jsonl")
    file.write_bytes(file.read_bytes() + b'{"kind": "met')
    assert kinds(journal) == ["open"]
    journal.append("status")
    assert kinds(journal) == ["open", "status"]


def test_every_server_is_told_apart(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "key")
    for kind in ("open", "metrics", "status"):
        journal.append(kind)
    journal.mark_delivered("http://a", 2)
    assert (journal.waiting("http://a"), journal.waiting("http://b")) == (1, 3)


def test_searches_in_one_folder_have_journals_of_their_own(tmp_path: Path) -> None:
    Journal(tmp_path, "one").append("open")
    Journal(tmp_path, "two").append("open")
    assert {journal.key for journal in Journal.all_in(tmp_path)} == {"one", "two"}


def test_a_password_in_an_address_is_not_for_everybody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports are mailed; the journal, which needs it to deliver, is its owner's alone."""
    Journal(tmp_path, "key").append("open", uri="postgresql://me:secret@host/db")
    (file,) = tmp_path.glob("*.jsonl")
    assert file.stat().st_mode & 0o077 == 0
    uri = "https://me:secret@host:5000"
    monkeypatch.setattr(sys, "argv", ["pipelines/search.py", f"tracking.uri={uri}"])
    text = settings_text(SearchSettings("base", "donor", tracking=TrackingConfig(uri=uri)))
    assert "secret" not in text
    assert text.count("https://me:***@host:5000") == 2
