"""Where a search would write is checked before it asks anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adamms.commands.settings import SearchSettings
from adamms.config import load_settings
from adamms.errors import UserError
from adamms.searching.preparing import check_places
from adamms.searching.study import Study
from tests.support.tiny_models import TinyPair


def study(pair: TinyPair, run_dir: Path, **given: Any) -> Study:
    own = {"base": str(pair.base), "donor": str(pair.donor), "run_dir": str(run_dir)}
    return Study.of(load_settings(SearchSettings, None, [], own, given))


def test_what_adamms_did_not_write_stays(tiny_pair: TinyPair, tmp_path: Path) -> None:
    (tmp_path / "run" / "merged").mkdir(parents=True)
    check_places(study(tiny_pair, tmp_path / "run"), [""])
    (tmp_path / "run" / "merged" / "thesis.tex").write_text("years")
    with pytest.raises(UserError, match=r"run/merged: holds thesis\.tex, which AdaMMS did not write"):
        check_places(study(tiny_pair, tmp_path / "run"), [""])
    each = study(tiny_pair, tmp_path / "run", searching={"export": "each"})
    check_places(each, ["ocr", "vqa"])
    (tmp_path / "run" / "merged" / "vqa").write_text("a file")
    with pytest.raises(UserError, match=r"merged/vqa.* is not a folder"):
        check_places(each, ["ocr", "vqa"])


def test_models_stay_apart_from_results(tiny_pair: TinyPair, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"runs/merged: lies in .*base, which is merged here"):
        check_places(study(tiny_pair, tiny_pair.base / "runs"), [""])
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "merged").symlink_to(tiny_pair.base.parent)
    with pytest.raises(UserError, match="symbolic link"):
        check_places(study(tiny_pair, tmp_path / "run"), [""])


@pytest.mark.parametrize("place", ["file/run", "x" * 300, "/proc/1/nothing\0"])
def test_a_run_folder_that_cannot_be(tiny_pair: TinyPair, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"give another path|give a shorter one|NUL"):
        check_places(study(tiny_pair, tmp_path / place), [""])
