"""The store loses nothing that was appended, whoever is killed and whoever writes at the same time."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from adamms.errors import UserError
from adamms.runs.record import ResponseRecord
from adamms.runs.responses import read_responses
from adamms.runs.store import GrowingStore, ResponseStore


def record(key: str, response: str = "a", alpha: float = 0.3, prompt_id: str = "p") -> ResponseRecord:
    return ResponseRecord(alpha, prompt_id, response, key, tokens=3, finish_reason="stop")


def test_gives_back_what_was_appended(tmp_path: Path) -> None:
    records = [record("1"), record("2", "étoile\n\u2028\r", prompt_id="q"), record("3", "\ud83d", prompt_id="r")]
    with closing(ResponseStore(tmp_path / "responses")) as store:
        store.append(records[:2])
        store.append(records[2:])
        store.append([])
    assert ResponseStore(tmp_path / "responses").load() == records
    assert len(list((tmp_path / "responses").iterdir())) == 1


def test_an_absent_folder_is_empty(tmp_path: Path) -> None:
    store = ResponseStore(tmp_path / "none")
    assert store.load() == []
    assert not (tmp_path / "none").exists()


def test_of_the_same_work_the_first_counts(tmp_path: Path) -> None:
    ResponseStore(tmp_path).append([record("1", "first")])
    ResponseStore(tmp_path).append([record("1", "second"), record("2", prompt_id="q")])
    assert [r.response for r in ResponseStore(tmp_path).load()] == ["first", "a"]
    assert read_responses(tmp_path) == {0.3: {"p": "first", "q": "a"}}


def test_a_store_that_grows_is_followed_line_by_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    followed, looked = GrowingStore(tmp_path), list[bytes]()
    parse = json.loads
    monkeypatch.setattr(json, "loads", lambda line: looked.append(line) or parse(line))
    with closing(ResponseStore(tmp_path)) as first, closing(ResponseStore(tmp_path)) as second:
        for number in range(50):
            alpha = 0.1 * (number % 3)
            (first if number % 2 else second).append([record(f"{number}", f"{alpha:.1f}\n", alpha, f"p{number:02d}")])
            followed.answers_at(0.9)
    assert len(looked) == 50, "each line once, however often one looks"
    for alpha in (0.0, 0.1, 0.2):
        assert followed.answers_at(alpha) == read_responses(tmp_path)[alpha]
    assert followed.answers_at(0.9) == {}


@pytest.mark.parametrize("missing", [1, 9])
def test_a_line_that_is_half_written_is_found_once_it_is_whole(tmp_path: Path, missing: int) -> None:
    line = record("1", "whole").to_line()
    followed, file = GrowingStore(tmp_path), tmp_path / "1.jsonl"
    file.write_bytes(record("0", "before", prompt_id="o").to_line() + line[:-missing])
    assert followed.answers_at(0.3) == {"o": "before"} | ({"p": "whole"} if missing == 1 else {})
    with file.open("ab") as opened:
        opened.write(line[-missing:] + record("2", "after", prompt_id="q").to_line())
    assert followed.answers_at(0.3) == {"o": "before", "p": "whole", "q": "after"}
    file.rename(tmp_path / "elsewhere")
    assert followed.answers_at(0.3) == {}


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_killed_writer_swallows_nothing(tmp_path: Path, cut: int) -> None:
    with closing(ResponseStore(tmp_path)) as dead:
        dead.append([record("1"), record("2", "étoile")])
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-cut])
    ResponseStore(tmp_path).append([record("3")])
    torn = cut > 1  # without its newline alone, the line is still whole
    assert [r.key for r in ResponseStore(tmp_path).load()] == (["1", "3"] if torn else ["1", "2", "3"])


def test_rows_that_are_no_records_are_reported(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"alpha": 0.1}\n')
    with pytest.raises(UserError, match=r"x\.jsonl:1"):
        ResponseStore(tmp_path).load()


def _write_forever(folder: Path, name: str) -> None:
    store = ResponseStore(folder)
    for number in range(1_000_000):
        batch = [ResponseRecord(0.1, f"{name}-{number}-{i}", "x" * 500, f"{name}-{number}-{i}") for i in range(3)]
        store.append(batch)


def test_kill_while_several_write(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for attempt in range(3):
        writers = [context.Process(target=_write_forever, args=(tmp_path, f"{attempt}{i}")) for i in range(2)]
        for writer in writers:
            writer.start()
        time.sleep(0.05)
        for writer in writers:
            assert writer.pid is not None
            os.kill(writer.pid, signal.SIGKILL)
            writer.join()
    stored = {r.key for r in ResponseStore(tmp_path).load()}
    for key in stored:  # nothing is missing in front of what is there
        name, number, i = key.split("-")
        assert int(number) == 0 or f"{name}-{int(number) - 1}-{i}" in stored
    assert stored


def test_a_full_disk_is_told_with_its_folder_and_what_was_stored_stays(tmp_path: Path) -> None:
    """A file that may not grow is as a disk without room."""
    program = """
import resource, signal, sys
from adamms.runs.record import ResponseRecord
from adamms.runs.store import GrowingStore, ResponseStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (250, 250))
store = ResponseStore(sys.argv[1])
try:
    for number in range(9):
        store.append([ResponseRecord(0.1, f"p{number}", "yes", f"{number:x}")])
except OSError as error:
    print(error.filename)
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == f"{tmp_path}\n"
    before = {record.prompt_id for record in ResponseStore(tmp_path).load()}
    assert before == {"p0", "p1"}, "whole lines of 96 bytes each"
    ResponseStore(tmp_path).append([ResponseRecord(0.1, "p9", "yes", "9")])
    assert {record.prompt_id for record in ResponseStore(tmp_path).load()} == {*before, "p9"}
