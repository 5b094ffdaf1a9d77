"""Files of a run folder that somebody or something broke: one line that names the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from adamms.errors import UserError
from adamms.runs.answers import Answers
from adamms.runs.costs import Costs
from adamms.runs.responses import read_responses
from adamms.runs.run_folder import RunFolder
from adamms.runs.store import GrowingStore
from adamms.tracking.contents import items_of

BROKEN = ["", "{", "[1]", "3", '"x"', "[" * 5000, "\xff"]


def broken(file: Path, content: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode("latin-1"))
    return file


@pytest.mark.parametrize("content", [*BROKEN, '{"seconds": 3}', '{"seconds": {"a": "x"}}', '{"peaks": {"a": [1]}}'])
def test_costs(tmp_path: Path, content: str) -> None:
    with pytest.raises(UserError, match=r"costs\.json: broken .*take it away"):
        Costs(broken(tmp_path / "costs.json", content))


@pytest.mark.parametrize("content", BROKEN)
@pytest.mark.parametrize("name", ["noise.json", "selection.json", "candidates/0.3.json", "search.json"])
def test_files_of_a_run(tmp_path: Path, name: str, content: str) -> None:
    run, file = RunFolder(tmp_path), broken(tmp_path / name, content)
    with pytest.raises(UserError, match=f"{name}: broken .*take it away") as error:
        run.read(file)
    assert "\n" not in str(error.value)
    if name == "search.json":
        with pytest.raises(UserError, match=r"search\.json: broken"):
            items_of(run, GrowingStore(tmp_path / "responses"))


def test_files_without_what_they_should_hold(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.describe("key", "name", {})
    run.write(run.selection, {"alpha": 0.3})
    with pytest.raises(UserError, match=r"its files are not as a search leaves them .KeyError"):
        items_of(run, GrowingStore(tmp_path / "responses"))


@pytest.mark.parametrize("content", [*BROKEN[:-1], '{"kind": "vllm"}', '{"versions": 3}'])
def test_the_engine(tmp_path: Path, content: str) -> None:
    broken(tmp_path / "responses" / "engine.json", content)
    with pytest.raises(UserError, match=r"engine\.json: broken"):
        Answers(tmp_path / "responses", {})


def test_nested_lines_of_responses(tmp_path: Path) -> None:
    good = '{"alpha": 0.1, "prompt_id": "a", "response": "b"}\n'
    file = broken(tmp_path / "r.jsonl", good + "[" * 5000 + "\n" + '{"alpha": ' + "9" * 5000 + "}\n")
    with pytest.raises(UserError, match=r"r\.jsonl:2: not JSON .*r\.jsonl:3: not JSON"):
        read_responses(file)
    file.write_text(good + "[" * 5000)
    assert read_responses(file) == {0.1: {"a": "b"}}, "the last line may be torn"


def test_half_of_a_surrogate_pair_is_written_as_an_escape(tmp_path: Path) -> None:
    from adamms.support.files import write_whole

    write_whole(tmp_path / "report.html", "half \ud800, see https://me:s3cr3t@host")
    assert (tmp_path / "report.html").read_text() == "half \\ud800, see https://***@host"
