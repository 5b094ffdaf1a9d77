from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from adamms.commands.settings import SweepSettings
from adamms.config import load_settings
from adamms.errors import UserError
from adamms.merging.to_disk import merge_to_disk
from adamms.searching.config import StudySettings
from adamms.searching.metric import with_metric
from adamms.searching.preparing import prepare
from adamms.sweeping.cells import cells_of, is_finished, mark_finished
from tests.support.tiny_models import TinyPair


def sweep(tmp_path: Path, pairs: dict[str, Any], *overrides: str) -> SweepSettings:
    given = {"sweep": {"pairs": pairs}, "run_dir": str(tmp_path / "sweep")}
    return load_settings(SweepSettings, None, list(overrides), given)


def test_a_search_for_every_pair_and_method(tmp_path: Path) -> None:
    pairs = {"one": {"base": "a", "donor": "b"}, "two": {"base": "a", "donor": "c", "ancestor": "d"}}
    cells = cells_of(sweep(tmp_path, pairs, "sweep.methods=[linear,ties]", "prompts.n=7", "ancestor=e"))
    assert [cell.name for cell in cells] == ["one/linear", "one/ties", "two/linear", "two/ties"]
    assert [cell.settings.merging.method for cell in cells] == ["linear", "ties"] * 2
    assert [cell.settings.run_dir for cell in cells] == [str(tmp_path / "sweep" / cell.name) for cell in cells]
    assert [cell.settings.ancestor for cell in cells] == ["e", "e", "d", "d"]
    assert {cell.settings.prompts.n for cell in cells} == {7}


def test_a_pair_from_its_file_keeps_what_is_its_own_and_takes_the_sweeps_prompts(tmp_path: Path) -> None:
    file = tmp_path / "pair.yaml"
    file.write_text(
        "base: a\ndonor: b\nrun_dir: elsewhere\nprompts: {path: theirs}\n"
        "mapping: {embeddings: align, rope_check: off}\n"
        "merging: {options: {density: 0.3}}\n"
    )
    cell = cells_of(sweep(tmp_path, {"one": str(file)}, "sweep.methods=[ties]", "prompts.path=ours"))[0].settings
    assert (cell.base, cell.donor, cell.prompts.path) == ("a", "b", "ours")
    assert (cell.mapping.embeddings, cell.mapping.rope_check) == ("align", "off")
    assert (cell.merging.method, cell.merging.options) == ("ties", {"density": 0.3})
    assert cell.run_dir == str(tmp_path / "sweep" / "one" / "ties")


def test_each_pair_has_the_criterion_that_its_own_settings_leave_open(tmp_path: Path) -> None:
    models: dict[str, Any] = {"base": "a", "donor": "b"}
    pairs = {"one": models, "early": models | {"searching": {"stop": "confident"}}}
    cells = cells_of(sweep(tmp_path, pairs))
    assert [cell.settings.searching.metric for cell in cells] == ["logprob+parents", "either"]


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    pairs = {"no donor": {"base": "a"}, "two": {"base": "a", "donor": "b", "enigne": {}}, "three": 3, "four": "no.yaml"}
    with pytest.raises(UserError) as raised:
        cells_of(sweep(tmp_path, pairs))
    told = str(raised.value)
    assert all(word in told for word in ("'no donor' is no name", "sweep.pairs.two: ", "enigne", "three", "no.yaml"))


def test_an_empty_sweep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"sweep.pairs and sweep.methods"):
        cells_of(sweep(tmp_path, {}))


def test_a_search_is_finished_while_its_checkpoint_stands(
    tiny_pair: TinyPair, prompt_file: Path, tmp_path: Path
) -> None:
    models = {"base": str(tiny_pair.base), "donor": str(tiny_pair.donor)}
    given = {**models, "prompts": {"path": prompt_file}, "run_dir": tmp_path / "run"}
    found = prepare(with_metric(load_settings(StudySettings, None, [], given)))
    run, study = found.run, found.study
    assert not is_finished(found)
    merge_to_disk(study.pair, study.coefficient.candidate(0.3).recipe, run.merged)
    run.write(run.selection, {"alpha": 0.3})
    assert not is_finished(found), "not marked"
    mark_finished(found)
    assert is_finished(found)
    run.write(run.selection, {"alpha": 0.2})
    assert not is_finished(found), "another one was chosen since"
    run.write(run.selection, {"alpha": 0.3})
    shutil.rmtree(run.merged)
    assert not is_finished(found)
