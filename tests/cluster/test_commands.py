"""Every command that cluster/ names, for a schedule, a job or a reader, can be run: files and settings exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from adamms.commands.settings import EvaluateSettings, MergeJobSettings, SearchSettings, SweepSettings
from adamms.config import load_settings
from tests.cluster.manifests import CLUSTER, ROOT

COMMAND = re.compile(r"python (pipelines/\w+\.py)((?:[ \\\n]+(?:FILE|[^\s;`]*[=/.-][^\s;`]*))*)")
FILES = [file for file in sorted(CLUSTER.rglob("*")) if file.is_file()]

SETTINGS = {"search": SearchSettings, "sweep": SweepSettings, "merge": MergeJobSettings, "evaluate": EvaluateSettings}


def commands() -> dict[str, tuple[str, list[str]]]:
    """Pipeline and arguments, by where they stand. (`$(date ...)` makes a folder's name: any will do.)"""
    found = {}
    for file in FILES:
        text = re.sub(r"\$\(date[^)]*\)", "NOW", file.read_text())
        for number, match in enumerate(COMMAND.finditer(text)):
            arguments = match[2].replace("\\\n", " ").replace('"', "").split()
            found[f"{file.relative_to(CLUSTER)} {number} {match[1]}"] = (match[1], arguments)
    return found


ALL = commands()


def test_every_way_to_run_has_its_command() -> None:
    named = {where.split()[0] for where in ALL}
    manifests = {f"kuberay/{name}.yaml" for name in ("search-rayjob", "sweep-cronjob", "sweep-raycronjob")}
    assert named >= {*manifests, "slurm/adamms.sbatch", "README.md"}


@pytest.mark.parametrize(("pipeline", "arguments"), ALL.values(), ids=ALL)
def test_the_pipeline_takes_these_settings(pipeline: str, arguments: list[str]) -> None:
    assert (ROOT / pipeline).is_file()
    settings = SETTINGS[Path(pipeline).stem]
    config = arguments[arguments.index("--config") + 1] if "--config" in arguments else "FILE"
    if config == "FILE":  # the reader's own
        return
    assert (ROOT / config).is_file()
    assert all("=" in argument for argument in arguments[2:]), arguments
    loaded = load_settings(settings, ROOT / config, arguments[2:])
    if isinstance(loaded, SearchSettings):
        assert loaded.prompts.path or loaded.prompts.tasks, "a search without prompts ends at once"


def test_every_file_that_the_readme_names_exists() -> None:
    readme = (CLUSTER / "README.md").read_text()
    for path in re.findall(r"(?<![\w/])(?:cluster|conf|pipelines|tests)/[\w./-]*\w", readme):
        assert (ROOT / path).exists(), path
