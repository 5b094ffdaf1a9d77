"""Every ready pair loads as the settings of a search, and says how it is launched."""

from __future__ import annotations

from pathlib import Path

import pytest

from adamms.commands.settings import SearchSettings
from adamms.config import load_settings

PAIRS = sorted(Path("conf/pairs").glob("*.yaml")) or sorted(
    (Path(__file__).parents[2] / "conf" / "pairs").glob("*.yaml")
)
PAPER = {
    "llava-onevision_into_qwen2-vl", "llava-1.5_into_cogvlm", "mplug-owl2_into_llava-1.5", "llava-1.5_into_mplug-owl2",
    "cogvlm_into_mplug-owl2", "mplug-owl2_into_cogvlm", "yi-vl_into_cambrian", "sharegpt4v_into_llava-1.5",
    "llava-1.5_into_sharegpt4v", "sharegpt4v_into_cogvlm",
}  # fmt: skip


def test_every_pair_of_the_paper_and_three_of_todays() -> None:
    names = {path.stem for path in PAIRS}
    assert names >= PAPER
    assert len(names - PAPER) >= 3


@pytest.mark.parametrize("path", PAIRS, ids=lambda path: path.stem)
def test_a_pair_loads_and_opens_with_its_command(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    command = f"# python pipelines/search.py --config conf/pairs/{path.name} "
    assert first.startswith(command)
    settings = load_settings(SearchSettings, path, first.removeprefix(command).split())
    assert settings.prompts.path == "prompts.jsonl"
    assert settings.run_dir == f"runs/{path.stem}"
    for model in (settings.base, settings.donor):
        owner, _, rest = model.partition("/")
        name, _, revision = rest.partition("@")
        assert owner
        assert name
        assert revision
