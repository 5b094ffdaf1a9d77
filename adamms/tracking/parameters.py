"""What the dashboard shows of a search's settings."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from adamms.mapping.plan import MergePlan, ModelIdentity

if TYPE_CHECKING:
    from adamms.commands.settings import SearchSettings


def search_parameters(settings: SearchSettings, plan: MergePlan) -> dict[str, str]:
    """The params of a search's run and of each of its candidates."""
    return {
        "base": settings.base,
        "donor": settings.donor,
        "base_revision": _revision(settings.base, plan.base),
        "donor_revision": _revision(settings.donor, plan.donor),
        "base_architecture": plan.base.architecture,
        "donor_architecture": plan.donor.architecture,
        "method": settings.merging.method,
        "metric": settings.searching.metric,
        "task": ", ".join(settings.prompts.tasks) or task_name(settings.prompts.path),
        "coefficient": settings.searching.coefficient,
        "stop": settings.searching.stop.value,
        "engine": settings.engine.kind.value,
        "dtype": settings.engine.dtype,
        "max_tokens": str(settings.engine.max_tokens),
        "prompts": str(settings.prompts.n),
        "seed": str(settings.prompts.seed),
        "plan": plan.fingerprint,
        "run_dir": str(Path(settings.run_dir).resolve()),
    }


def task_name(prompts: str) -> str:
    """What a prompt set is called: its file's or data set's name."""
    return PurePosixPath(prompts.split("@", 1)[0].rstrip("/")).stem


def short_name(model: str) -> str:
    """The last part of a folder, Hub id (its revision left out) or file name."""
    path = PurePosixPath(model.split("@", 1)[0].rstrip("/"))
    return path.stem if path.suffix in (".jsonl", ".json", ".parquet") else path.name


def _revision(given: str, model: ModelIdentity) -> str:
    """The commit of a Hub snapshot, the revision that was asked for, or else a digest of the checkpoint itself."""
    commit = re.search(r"/snapshots/([0-9a-f]{40})", model.location)
    asked = given.rpartition("@")[2] if "@" in given else ""
    return commit.group(1) if commit else asked or model.digest
